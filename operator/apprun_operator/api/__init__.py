"""The API of the group `apprun.dev` as frozen pydantic models, from which `crds/` and the chart's
copies are generated.

Imported by admission and the generator only. Pods never pay for these models: what crosses between
pods and operator is typed in `application_sdk.wire`, and
`tests/unit/api/test_wire_agrees_with_crds.py` holds the two together.
"""
