"""Any sequence of source changes, captures and runs ends with what a small model of the warehouse in Python says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import SAMPLE, register
from tests.support import Database, Flow

Sale = tuple[int | None, int | None, int | None]
IDS = st.integers(1, 4)
NAMES = st.sampled_from(["a", " a", "b", "", None])
SALES = st.tuples(st.one_of(IDS, st.none()), IDS, st.sampled_from([1, 2, 0, None]))
RELATIONS = st.sampled_from(["dwh.fact_sales", "dwh.dim_customer", "dwh.dim_product", "mrr.sales", "mrr.customers"])
STEPS = st.one_of(
    st.tuples(st.just("sell"), SALES),
    st.tuples(st.just("sell"), SALES),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("correct"), st.tuples(st.integers(0, 9), SALES)),
    st.tuples(st.sampled_from(["customers", "products"]), st.tuples(IDS, NAMES, NAMES)),
    st.tuples(st.just("drop customers"), IDS),
    st.tuples(st.just("drop products"), IDS),
    st.tuples(st.just("empty"), st.none()),
    st.tuples(st.just("capture"), st.none()),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("replay"), st.none()),
    st.tuples(st.just("rebuild"), RELATIONS),
)


@dataclass
class Version:
    """One version of a customer or product; an inferred one is completed in place."""

    attributes: tuple[str | None, str | None] | None
    batch: int
    is_current: bool = True


@dataclass
class Model:
    """The source as it is, and the warehouse as it has to be once everything captured is published."""

    sales: list[Sale] = field(default_factory=list)
    members: dict[str, dict[int, tuple[str | None, str | None]]] = field(
        default_factory=lambda: {"customers": {}, "products": {}}
    )
    captured: Counter[Sale] = field(default_factory=Counter)
    versions: dict[str, dict[int, list[Version]]] = field(default_factory=lambda: {"customers": {}, "products": {}})
    facts: list[tuple[int, Sale, Version, Version]] = field(default_factory=list)

    def capture(self, batch: int) -> None:
        """Take over what changed at the source since the last capture."""
        for kind, members in self.members.items():
            self._load(self.versions[kind], members, batch)
        now = Counter(self.sales)
        for sale, copies in (self.captured - now).items():
            for _ in range(copies):
                self._cancel(sale)
        for sale, copies in (now - self.captured).items():
            if sale[0] is not None and sale[1] is not None and (sale[2] or 0) > 0:
                customer = self._version("customers", sale[0], batch)
                product = self._version("products", sale[1], batch)
                self.facts += [(batch, sale, customer, product)] * copies
        self.captured = now

    @staticmethod
    def _load(versions: dict[int, list[Version]], now: dict[int, tuple[str | None, str | None]], batch: int) -> None:
        for member, raw in now.items():
            attributes = (clean(raw[0]), clean(raw[1]))
            known = versions.setdefault(member, [])
            if known and known[-1].attributes is None:
                known[-1].attributes = attributes
            elif not known or not known[-1].is_current or known[-1].attributes != attributes:
                if known:
                    known[-1].is_current = False
                known.append(Version(attributes, batch))
        for member in versions.keys() - now.keys():
            if versions[member][-1].attributes is not None:
                versions[member][-1].is_current = False

    def _version(self, kind: str, member: int, batch: int) -> Version:
        return self.versions[kind].setdefault(member, [Version(None, batch)])[-1]

    def _cancel(self, sale: Sale) -> None:
        latest = max(((fact[0], index) for index, fact in enumerate(self.facts) if fact[1] == sale), default=None)
        if latest is not None:
            del self.facts[latest[1]]


def clean(value: str | None) -> str | None:
    """Trim as the stage does."""
    return (value or "").strip(" ") or None


def play(flow: Flow, model: Model, step: str, value: Any) -> None:
    """Do one thing at the source in both worlds, or let the warehouse follow."""
    operational = flow.operational
    match step, value:
        case "sell", sale:
            operational.execute("insert into public.sales values (%s, %s, %s)", sale)
            model.sales.append(sale)
        case "cancel", index if model.sales:
            cancel(operational, model.sales.pop(index % len(model.sales)))
        case "correct", (index, sale) if model.sales:
            cancel(operational, model.sales.pop(index % len(model.sales)))
            play(flow, model, "sell", sale)
        case (("customers" | "products"), (member, name, attribute)):
            operational.execute(f"delete from public.{step} where id = %s", [member])
            operational.execute(f"insert into public.{step} values (%s, %s, %s)", [member, name, attribute])
            model.members[step][member] = (name, attribute)
        case (("drop customers" | "drop products"), member):
            table = step.removeprefix("drop ")
            operational.execute(f"delete from public.{table} where id = %s", [member])
            model.members[table].pop(member, None)
        case "empty", _:
            operational.execute("truncate public.sales")
            model.sales.clear()
        case _:
            follow(flow, model, step, value)


def follow(flow: Flow, model: Model, step: str, relation: str) -> None:
    """Let the warehouse do one thing, if the step is one of its own."""
    match step:
        case "capture":
            flow.warehouse.execute("call mrr.capture('sales')")
        case "run":
            flow.run()
        case "replay":
            flow.warehouse.execute("call etl.replay_quarantine('sales')")
        case "rebuild":
            flow.warehouse.call("etl.rebuild", relation=relation)
    if step in ("capture", "run") or (step == "rebuild" and relation.startswith("mrr.")):
        model.capture(newest_batch(flow))


def newest_batch(flow: Flow) -> int:
    """Return the number of the batch that was captured last."""
    batch: int = flow.warehouse.value("select max(batch_id) from etl.batch where kind = 'capture'")
    return batch


def cancel(operational: Database, sale: Sale) -> None:
    """Delete exactly one of the equal rows."""
    operational.execute(
        "delete from public.sales where ctid = (select min(ctid) from public.sales"
        " where (customerId, productId, qty) is not distinct from (%s::int, %s::int, %s::int))",
        sale,
    )


def assert_equal(flow: Flow, model: Model) -> None:
    """Compare mirrors with the source, and facts with their versions, quarantine and dimensions with the model."""
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    expected = Counter(
        (batch, *sale, *(customer.attributes or (None, None)), *(product.attributes or (None, None)))
        for batch, sale, customer, product in model.facts
    )
    assert (
        Counter(
            flow.warehouse.query(
                "select f.batch_id, f.customer_id, f.product_id, f.qty, c.name, c.country, p.name, p.product_group"
                " from dwh.fact_sales f join dwh.dim_customer c using (customer_key)"
                " join dwh.dim_product p using (product_key)"
            )
        )
        == expected
    )
    for kind, name, attribute in (("customers", "customer", "country"), ("products", "product", "product_group")):
        assert Counter(
            flow.warehouse.query(f"select {name}_id, name, {attribute}, is_current, is_inferred from dwh.dim_{name}")
        ) == Counter(
            (member, *(version.attributes or (None, None)), version.is_current, version.attributes is None)
            for member, versions in model.versions[kind].items()
            for version in versions
        )


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a failure takes minutes: add Phase.shrink for it
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=8, max_size=40))
def test_any_sequence_of_changes(
    cloned_operational: Callable[[], AbstractContextManager[Database]],
    cloned_warehouse: Callable[[], AbstractContextManager[Database]],
    steps: list[tuple[str, Any]],
) -> None:
    """Whatever happens at the source, and whenever runs come in between, nothing is lost, doubled or mixed up."""
    with cloned_operational() as operational, cloned_warehouse() as warehouse:
        flow = register(operational, warehouse, *SAMPLE)
        model = Model()
        for step, value in steps:
            play(flow, model, step, value)
        play(flow, model, "run", None)
        assert_equal(flow, model)
