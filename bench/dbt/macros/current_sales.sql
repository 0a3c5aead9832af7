{#
  The sales that are there. In a log of changes without a key, as many copies of a row are gone as it has deletions: rows that
  were never deleted pass by an anti-join, and only the rest is numbered.
#}
{% macro current_sales() %}
{% if var('is_log') %}
  with gone as materialized (
    select customerid, productid, qty, count(*) as copies
    from {{ var('raw') }}.sales
    where _cdc_deleted
    group by 1, 2, 3
  )
  select s.customerid, s.productid, s.qty
  from {{ var('raw') }}.sales s
  where not s._cdc_deleted
    and not exists (
      select from gone g where (g.customerid, g.productid, g.qty) = (s.customerid, s.productid, s.qty))
  union all
  select n.customerid, n.productid, n.qty
  from (
    select s.customerid, s.productid, s.qty, g.copies,
           row_number() over (partition by s.customerid, s.productid, s.qty) as copy
    from {{ var('raw') }}.sales s
    join gone g on (g.customerid, g.productid, g.qty) = (s.customerid, s.productid, s.qty)
    where not s._cdc_deleted
  ) n
  where n.copy > n.copies
{% else %}
  select customerid, productid, qty from {{ var('raw') }}.sales
{% endif %}
{% endmacro %}
