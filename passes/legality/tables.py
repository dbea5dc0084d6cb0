"""All tables of rules, by what they are about."""

from __future__ import annotations

from cnn2snn_ir.passes.legality import legacy
from cnn2snn_ir.passes.legality.check import TABLES
from cnn2snn_ir.passes.legality.rule import Rule

RULES_OF: dict[str, tuple[Rule, ...]] = {
    **{f"Akida {str(version)[1:]}": rules for version, rules in TABLES.items()},
    "legacy models": legacy.RULES,
}
