"""All tables of rules, by what they are about."""

from __future__ import annotations

from cnn2snn_ir.passes.legality import legacy
from cnn2snn_ir.passes.legality.check import rules_of
from cnn2snn_ir.passes.legality.rule import Rule
from cnn2snn_ir.versions import AkidaVersion

RULES_OF: dict[str, tuple[Rule, ...]] = {
    **{f"Akida {str(version)[1:]}": rules_of(version) for version in AkidaVersion},
    "legacy models": legacy.RULES,
}
