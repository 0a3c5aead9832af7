-- public.generate(rows, seed): fills the empty sample database with sales, and with the customers and products that so
-- many sales have: one customer per 100 sales, one product per 1000, at least 20 of each.
--
-- Contract: the same rows and seed give the same data again, because each choice is a hash of the row's number
-- and the seed. Countries are drawn by weight, customers buy unequally often, products sell by Zipf's law: a few
-- bestsellers and a long tail.
-- Invariant: never adds to data that is there.
create or replace procedure public.generate(rows bigint default 100000, seed int default 42)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  c_given_names constant text[] := '{
    Ada, Ahmed, Aiko, Alice, Amara, Ana, Anders, Andrei, Anna, Antoine, Astrid, Bruno, Camille, Carlos, Chiara, Daniel,
    Dmitri, Elena, Emil, Emma, Fatima, Felix, Freya, Giulia, Hana, Hannah, Hugo, Ibrahim, Ines, Ingrid, Isabel, Ivan,
    Jakub, Jan, Joao, Jonas, Julia, Kai, Kenji, Lara, Lea, Leo, Liam, Linh, Louise, Luca, Lukas, Maria, Marta, Mateo,
    Maya, Mei, Mia, Miguel, Mila, Nadia, Nina, Noah, Olga, Oliver, Omar, Oscar, Paula, Petra, Pierre, Priya, Rafael,
    Rahul, Rosa, Samuel, Sara, Sofia, Stefan, Tomas, Victor, Yara, Yuki, Zoe}'::text[];
  c_family_names constant text[] := '{
    Ali, Almeida, Andersson, Bauer, Becker, Bernard, Bianchi, Brown, Chen, Costa, Davies, de Vries, Dubois, Evans,
    Fernandez, Ferrari, Fischer, Fontaine, Garcia, Gonzalez, Gruber, Gupta, Haddad, Hansen, Hoffmann, Horvat, Huber, Ito,
    Ivanov, Jansen, Jensen, Johansson, Jones, Kaminski, Khan, Kim, Kobayashi, Kovac, Kowalski, Larsen, Laurent, Lee,
    Lindberg, Lopez, Martin, Meyer, Miller, Moreau, Murphy, Nakamura, Nguyen, Nielsen, Novak, Olsen, Patel, Pereira,
    Petrov, Popescu, Ricci, Romano, Rossi, Santos, Sato, Schmidt, Schneider, Sharma, Silva, Singh, Smith, Svensson,
    Tanaka, Taylor, Tran, van Dijk, Wagner, Walker, Wang, Weber, Wilson, Wojcik, Yilmaz, Zhang}'::text[];
  c_lines constant text[] := '{
    Alpine, Atlas, Aurora, Classic, Coastal, Compact, Everyday, Harbor, Heritage, Horizon, Lumen, Meadow, Metro, Nordic,
    Orbit, Prime, Sierra, Solar, Studio, Urban, Vista, Willow}'::text[];
  v_customers int;
  v_products int;
  v_seed bigint;
begin
  if rows is null or rows not between 0 and 1000000000 or seed is null then
    raise exception 'cannot generate % sales with seed %', coalesce(rows::text, 'null'), coalesce(seed::text, 'null')
      using errcode = 'invalid_parameter_value',
            hint = 'Give 0 to 1000000000 rows and any integer as seed: call public.generate(100000, 42);';
  end if;
  if exists (select from public.customers) or exists (select from public.products) or exists (select from public.sales) then
    raise exception 'public.customers, public.products and public.sales are not all empty, so nothing was generated'
      using errcode = 'object_not_in_prerequisite_state',
            hint = 'To add sales: call public.sell(); to start anew: truncate public.customers, public.products, public.sales;';
  end if;
  v_customers := greatest(rows / 100, 20)::int;
  v_products := greatest(rows / 1000, 20)::int;
  v_seed := seed::bigint * 4;

  with share (country, weight) as (
    values
      ('United States', 210), ('Germany', 130), ('United Kingdom', 95), ('France', 85), ('Japan', 70), ('Italy', 50),
      ('Spain', 45), ('Canada', 42), ('Netherlands', 40), ('Poland', 35), ('Brazil', 32), ('Australia', 30),
      ('Sweden', 24), ('Switzerland', 22), ('Austria', 20), ('Belgium', 18), ('India', 18), ('Mexico', 16),
      ('Denmark', 12), ('Norway', 11), ('Portugal', 10), ('Czechia', 10), ('Finland', 8), ('Ireland', 7),
      ('New Zealand', 6), ('Slovakia', 4), ('Estonia', 2), ('Iceland', 1)
  ),
  atlas as (
    select array_agg(s.country order by s.up_to) as countries, array_agg(s.up_to - s.weight order by s.up_to) as bounds,
           sum(s.weight) as total
    from (select share.*, sum(weight) over (order by weight desc, country) as up_to from share) s
  )
  insert into public.customers (id, name, country)
  select c.id,
         c_given_names[1 + (c.hash & 65535) % cardinality(c_given_names)] || ' '
         || c_family_names[1 + (c.hash >> 16 & 65535) % cardinality(c_family_names)],
         a.countries[width_bucket((c.hash >> 32 & 65535) * a.total / 65536, a.bounds)]
  from (select n as id, hashint8extended(n, v_seed + 1) as hash from generate_series(1, v_customers) n) c
  cross join atlas a;

  with assortment (product_group, nouns) as (
    values
      ('Kitchen', '{Espresso Machine, Chef Knife, Stand Mixer, Toaster, Cast Iron Pan, Kettle}'::text[]),
      ('Furniture', '{Bookshelf, Armchair, Dining Table, Sideboard, Bed Frame, Footstool}'),
      ('Lighting', '{Desk Lamp, Floor Lamp, Pendant Light, Lantern, Spotlight, Night Light}'),
      ('Garden', '{Watering Can, Pruning Shears, Planter, Garden Hose, Bird Feeder, Wheelbarrow}'),
      ('Office', '{Fountain Pen, Notebook, Desk Organizer, Stapler, Whiteboard, Paper Shredder}'),
      ('Audio', '{Headphones, Bookshelf Speaker, Turntable, Microphone, Soundbar, Radio}'),
      ('Computing', '{Keyboard, Mouse, Monitor, Webcam, Docking Station, External Drive}'),
      ('Outdoor', '{Tent, Sleeping Bag, Hiking Pole, Camping Stove, Headlamp, Hammock}'),
      ('Sports', '{Yoga Mat, Tennis Racket, Dumbbell Set, Football, Bicycle Helmet, Running Shoes}'),
      ('Toys', '{Building Blocks, Puzzle, Board Game, Kite, Model Train, Teddy Bear}'),
      ('Travel', '{Suitcase, Backpack, Travel Pillow, Packing Cubes, Umbrella, Toiletry Bag}'),
      ('Beauty', '{Hair Dryer, Hand Cream, Shaving Kit, Bath Towel, Perfume, Makeup Mirror}')
  ),
  noun as (
    select t.product_group, t.noun, t.hash, row_number() over (order by t.hash) - 1 as position, count(*) over () as nouns
    from (select a.product_group, n as noun, hashtextextended(n, v_seed) as hash from assortment a, unnest(a.nouns) n) t
  )
  insert into public.products (id, name, groupname)
  select p.id,
         concat_ws(' ', c_lines[1 + ((n.hash & 65535) + p.round) % cardinality(c_lines)], n.noun,
                   nullif(1 + p.round / cardinality(c_lines), 1)),
         n.product_group
  from noun n
  cross join lateral (select id, (id - 1) / n.nouns as round from generate_series(1, v_products) id) p
  where (p.id - 1) % n.nouns = n.position;

  insert into public.sales (customerId, productId, qty)
  select 1 + floor(v_customers * power(s.customer, 2))::int,
         floor(power(v_products + 1, s.product))::int,
         1 + floor(-1.5 * ln(1 - s.quantity))::int
  from (
    select (h.hash & 16777215) / 16777216.0::double precision as customer,
           (h.hash >> 24 & 16777215) / 16777216.0::double precision as product,
           (h.hash >> 48 & 32767) / 32768.0::double precision as quantity
    from (select hashint8extended(n, v_seed + 2) as hash from generate_series(1, generate.rows) n) h
  ) s;

  analyze public.customers, public.products, public.sales;
end
$$;

comment on procedure public.generate(bigint, int) is
  'Fills the three empty tables. rows: how many sales, 0 to 1000000000; customers are a hundredth and products a thousandth of that, 20 at least. seed: the same gives the same data. Fails with 55000 where there is data already, with 22023 for other arguments. For the owner of the tables.';
revoke all on procedure public.generate(bigint, int) from public;
