"""Hold our invoices and credit notes against the official rules: UBL 2.1's schemas and EN 16931's schematron.

    python tools/judge_invoices.py VALIDATION.xslt SCHEMAS_FOLDER [MARKET...]

The rules are not ours to ship: VALIDATION.xslt is `EN16931-UBL-validation.xslt` of CEN/TC 434 (compiled; it lies in
com.helger.phive.rules:phive-rules-en16931), SCHEMAS_FOLDER holds OASIS's `maindoc` and `common` (they lie in
com.helger.ubl:ph-ubl21; `common` also needs CCTS_CCT_SchemaModule.xsd and xmldsig-core-schema.xsd, which lie in
com.helger.xsd:ph-xsds-ccts-cct-schemamodule and ph-xsds-xmldsig). Needs `saxonche` and `lxml`, which nothing else here
needs. Writes one line for each rule broken, and ends with 1 when a document that claims the profile breaks any.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tradepost import markets
from tradepost.trade.invoicing import LegalParty, to_ubl
from tradepost.trade.invoicing.ubl import PROFILE

sys.path.insert(0, str(Path(__file__).parent.parent))
samples: Any = import_module("tests.invoice_samples").samples
EXAMPLES_MAX = 3
_ELSEWHERE = {
    "urn:un:unece:uncefact:data:specification:CoreComponentTypeSchemaModule:2": "CCTS_CCT_SchemaModule.xsd",
    "http://www.w3.org/2000/09/xmldsig#": "xmldsig-core-schema.xsd",
}


class Judge:
    """The official rules, ready to be asked."""

    def __init__(self, processor: Any, rules: str, schemas: Path) -> None:
        self._etree = import_module("lxml.etree")
        self._processor = processor
        self._rules = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=rules)
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(shutil.copytree(schemas, folder, dirs_exist_ok=True))
            for path in copied.rglob("*.xsd"):
                path.write_text(_located(path.read_text("utf-8")), "utf-8")
            self._schemas = {
                name: self._etree.XMLSchema(
                    self._etree.parse(str(copied / "maindoc" / f"UBL-{name}-2.1.xsd"))
                )
                for name in ("Invoice", "CreditNote")
            }

    def find(self, document: bytes) -> list[str]:
        """What is wrong with a document: rules by their codes, words of the schema."""
        root = self._etree.fromstring(document)
        schema = self._schemas[self._etree.QName(root).localname]
        schema.validate(root)
        answer = self._rules.transform_to_string(
            xdm_node=self._processor.parse_xml(xml_text=document.decode())
        )
        if "schematron-output" not in answer:
            raise SystemExit("the rules gave no report")
        failed = re.findall(r"<svrl:failed-assert\b[^>]*?\sid=\"([^\"]+)\"", answer)
        return [f"schema: {error.message}" for error in schema.error_log] + failed


def _located(schema: str) -> str:
    """A schema whose imports without a place name the file that lies beside it."""
    for space, name in _ELSEWHERE.items():
        schema = re.sub(
            rf'(<xsd?:import\s+namespace="{re.escape(space)}")\s*/>', rf'\1 schemaLocation="{name}"/>', schema
        )
    return schema


def _sellers(code: str) -> list[tuple[str, LegalParty]]:
    """A seller with a VAT number, one with a local number, and one that has entered nothing yet."""
    known = LegalParty(
        name="Seller Ltd", line1="1 High Street", city="Town", country=code, tax_id=f"{code}123456789"
    )
    return [(code, known), (code, replace(known, tax_id="12/345/67890")), (code, LegalParty(name="Seller"))]


def main(rules: str, schemas: str, *codes: str) -> int:
    """Judge the samples of these markets, of all of them when none is named; 1 when a claim does not hold."""
    judged: Counter[tuple[str, bool]] = Counter()
    broken: dict[tuple[bool, str], list[str]] = {}
    with import_module("saxonche").PySaxonProcessor(license=False) as processor:
        judge = Judge(processor, rules, Path(schemas))
        for code, seller in itertools.chain.from_iterable(map(_sellers, codes or markets.codes())):
            for label, invoice in samples(markets.market(code), seller):
                written = to_ubl(invoice)
                claims = PROFILE.encode() in written
                judged[invoice.kind, claims] += 1
                for rule in judge.find(written):
                    broken.setdefault((claims, rule), []).append(label)
    for (kind, claims), count in sorted(judged.items()):
        print(f"{count} documents: {kind}, {'claiming' if claims else 'not claiming'} the profile")
    for (claims, rule), labels in sorted(broken.items()):
        what = "BROKEN" if claims else "not claimed"
        print(f"{what}: {rule}, {len(labels)} times, as in {'; '.join(labels[:EXAMPLES_MAX])}")
    return int(any(claims for claims, _ in broken))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
