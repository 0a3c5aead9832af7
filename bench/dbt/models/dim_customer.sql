select row_number() over (order by id) as customer_key, id::bigint as customer_id, name, country
from {{ var('raw') }}.customers
{% if var('is_log') %}where not _cdc_deleted{% endif %}
