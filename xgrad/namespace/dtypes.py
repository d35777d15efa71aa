"""The dtypes of the array standard, and float16."""

from ..backends.dtypes import canonical

bool = canonical("bool")
int8, int16, int32, int64 = canonical("int8"), canonical("int16"), canonical("int32"), canonical("int64")
uint8, uint16, uint32, uint64 = canonical("uint8"), canonical("uint16"), canonical("uint32"), canonical("uint64")
float16, float32, float64 = canonical("float16"), canonical("float32"), canonical("float64")
complex64, complex128 = canonical("complex64"), canonical("complex128")
