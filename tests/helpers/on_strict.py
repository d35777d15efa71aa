"""The namespace with array_api_strict as the default backend, for the standard's conformance suite."""

import xgrad as xg
from tests.helpers.strict import register_strict

register_strict()
xg.set_device("strict:0")
globals().update({name: getattr(xg, name) for name in (*xg.__all__, "__array_api_version__")})
