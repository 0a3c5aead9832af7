select row_number() over (order by id) as product_key, id::bigint as product_id, name, groupname as product_group
from {{ var('raw') }}.products
{% if var('is_log') %}where not _cdc_deleted{% endif %}
