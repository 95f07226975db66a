"""Operations value by value: one line each where jnp has them."""

import jax.numpy as jnp

from cornu.ops.kit import binary, bitwise, inexact, known, operand, public, tensor, unary
from cornu.symbolic import op

# Of one tensor -------------------------------------------------------------------------------------------------

abs = unary("abs", "|x|, and the modulus of complex numbers.")
absolute = unary("absolute", "|x|, and the modulus of complex numbers.")
angle = unary("angle", "The angle of complex numbers, in radians.")
arccos = unary("arccos", "The inverse cosine, in radians, of x in [-1, 1].")
arccosh = unary("arccosh", "The inverse hyperbolic cosine of x >= 1.")
arcsin = unary("arcsin", "The inverse sine, in radians, of x in [-1, 1].")
arcsinh = unary("arcsinh", "The inverse hyperbolic sine.")
arctan = unary("arctan", "The inverse tangent, in radians.")
arctanh = unary("arctanh", "The inverse hyperbolic tangent of x in (-1, 1).")
bitwise_invert = unary("bitwise_invert", "Each bit inverted.")
bitwise_not = unary("bitwise_not", "Each bit inverted.")
cbrt = unary("cbrt", "The cube root.")
ceil = unary("ceil", "The smallest integer >= x, as a float.", prepare=inexact)
conj = unary("conj", "The complex conjugate.")
conjugate = unary("conjugate", "The complex conjugate.")
cos = unary("cos", "cos x, of x in radians.")
cosh = unary("cosh", "(e^x + e^-x) / 2.")
deg2rad = unary("deg2rad", "Degrees as radians: x pi / 180.")
exp = unary("exp", "e^x.")
exp2 = unary("exp2", "2^x.")
expm1 = unary("expm1", "e^x - 1, exact near 0.")
fabs = unary("fabs", "|x|, as a float.")
floor = unary("floor", "The largest integer <= x, as a float.", prepare=inexact)
i0 = unary("i0", "The modified Bessel function of the first kind, order 0.")
imag = unary("imag", "The imaginary part.")
isfinite = unary("isfinite", "Whether a value is neither infinite nor NaN.")
isinf = unary("isinf", "Whether a value is infinite.")
isnan = unary("isnan", "Whether a value is NaN.")
isneginf = unary("isneginf", "Whether a value is minus infinity.")
isposinf = unary("isposinf", "Whether a value is plus infinity.")
isreal = unary("isreal", "Whether the imaginary part is 0.")
log = unary("log", "The natural logarithm.")
log10 = unary("log10", "The logarithm to base 10.")
log1p = unary("log1p", "log(1 + x), exact near 0.")
log2 = unary("log2", "The logarithm to base 2.")
logical_not = unary("logical_not", "Whether a value is 0 or False.")
negative = unary("negative", "-x.")
rad2deg = unary("rad2deg", "Radians as degrees: 180 x / pi.")
real = unary("real", "The real part.")
reciprocal = unary("reciprocal", "1 / x.")
sign = unary("sign", "-1, 0 or 1; x / |x| for complex numbers.")
signbit = unary("signbit", "Whether the sign bit is set.")
sin = unary("sin", "sin x, of x in radians.")
sinc = unary("sinc", "sin(pi x) / (pi x), and 1 at 0.")
sinh = unary("sinh", "(e^x - e^-x) / 2.")
sqrt = unary("sqrt", "The square root of x >= 0.")
square = unary("square", "x^2.")
tan = unary("tan", "tan x, of x in radians.")
tanh = unary("tanh", "(e^x - e^-x) / (e^x + e^-x).")
trunc = unary("trunc", "The integer part of x.")

# Of two ----------------------------------------------------------------------------------------------------------

add = binary("add", "x1 + x2.")
arctan2 = binary("arctan2", "The angle in radians of the point (x2, x1): arctan(x1 / x2) in the right quadrant.")
divide = binary("divide", "x1 / x2, as floats.")
true_divide = binary("true_divide", "x1 / x2, as floats.")
equal = binary("equal", "Whether x1 == x2.")
floor_divide = binary("floor_divide", "The largest integer <= x1 / x2.")
fmax = binary("fmax", "The larger one; a NaN gives way to a number.")
fmin = binary("fmin", "The smaller one; a NaN gives way to a number.")
fmod = binary("fmod", "The remainder of x1 / x2, with the sign of x1.")
gcd = binary("gcd", "The greatest common divisor of integers.")
greater = binary("greater", "Whether x1 > x2.")
greater_equal = binary("greater_equal", "Whether x1 >= x2.")
heaviside = binary("heaviside", "0 where x1 < 0, x2 where x1 == 0, 1 where x1 > 0.")
hypot = binary("hypot", "sqrt(x1^2 + x2^2), without overflow.")
lcm = binary("lcm", "The least common multiple of integers.")
ldexp = binary("ldexp", "x1 * 2^x2, of integers x2.")
less = binary("less", "Whether x1 < x2.")
less_equal = binary("less_equal", "Whether x1 <= x2.")
logaddexp = binary("logaddexp", "log(e^x1 + e^x2), without overflow.")
logaddexp2 = binary("logaddexp2", "log2(2^x1 + 2^x2), without overflow.")
logical_and = binary("logical_and", "Whether both are nonzero.")
logical_or = binary("logical_or", "Whether one of them is nonzero.")
logical_xor = binary("logical_xor", "Whether exactly one of them is nonzero.")
maximum = binary("maximum", "The larger one of x1 and x2.")
minimum = binary("minimum", "The smaller one of x1 and x2.")
mod = binary("mod", "The remainder of x1 / x2, with the sign of x2.")
multiply = binary("multiply", "x1 * x2.")
nextafter = binary("nextafter", "The next float after x1 towards x2.")
not_equal = binary("not_equal", "Whether x1 != x2.")
power = binary("power", "x1 to the power of x2.")
subtract = binary("subtract", "x1 - x2.")

bitwise_and = bitwise("bitwise_and", "The bits set in both.", jnp.bitwise_and)
bitwise_or = bitwise("bitwise_or", "The bits set in one or both.", jnp.bitwise_or)
bitwise_xor = bitwise("bitwise_xor", "The bits set in exactly one.", jnp.bitwise_xor)
bitwise_left_shift = bitwise("bitwise_left_shift", "The bits of x shifted to the left by y.", jnp.left_shift)
bitwise_right_shift = bitwise("bitwise_right_shift", "The bits of x shifted to the right by y.", jnp.right_shift)
left_shift = bitwise("left_shift", "The bits of x shifted to the left by y.", jnp.left_shift)
right_shift = bitwise("right_shift", "The bits of x shifted to the right by y.", jnp.right_shift)


# With more to say ------------------------------------------------------------------------------------------------


def _divide_no_nan(x1, x2):
    zero = jnp.equal(x2, 0)
    quotient = jnp.true_divide(x1, jnp.where(zero, jnp.ones_like(x2), x2))  # the inner `where` keeps gradients finite
    return jnp.where(zero, jnp.zeros_like(quotient), quotient)


divide_no_nan = binary("divide_no_nan", "x1 / x2, and 0 where x2 is 0.", _divide_no_nan)


@op
def clip(x, x_min, x_max):
    """Values below x_min become x_min, values above x_max become x_max; None leaves a side open.

    Args:
        x: a tensor of any shape.
        x_min, x_max: numbers, or tensors that broadcast with x.

    >>> clip([1, 5, 9], 2, 6)
    Array([2, 5, 6], dtype=int32)
    """
    limits = (None if limit is None else operand(limit) for limit in (x_min, x_max))
    return jnp.clip(tensor(x), *limits)


@op
def round(x, decimals=0):
    """The nearest number with so many decimals; halves go to the even neighbour.

    Args:
        x: a tensor of any shape.
        decimals: how many; a negative number rounds to tens, hundreds ...
    """
    x = tensor(x)
    if decimals < 0 and jnp.issubdtype(x.dtype, jnp.integer):
        return _round_integers(x, 10 ** -decimals)
    return jnp.round(x, decimals)


def _round_integers(x, unit: int):
    """Integers rounded to multiples of a unit; halves go to the even multiple."""
    if unit > jnp.iinfo(x.dtype).max:
        return jnp.zeros_like(x)
    whole = x // unit
    rest = x - whole * unit
    up = (rest > unit - rest) | ((rest == unit - rest) & (whole % 2 == 1))  # twice the rest may not fit the dtype
    return (whole + up.astype(x.dtype)) * jnp.asarray(unit, x.dtype)


@op
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """NaN and infinities replaced.

    Args:
        x: a tensor of any shape.
        nan: what replaces NaN.
        posinf, neginf: what replaces the infinities; the largest and smallest finite numbers for None.
    """
    return jnp.nan_to_num(tensor(x), nan=nan, posinf=posinf, neginf=neginf)


@op
def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |x1 - x2| <= atol + rtol |x2|, value by value.

    Args:
        x1, x2: tensors whose shapes broadcast.
        rtol, atol: the relative and the absolute tolerance.
        equal_nan: whether NaN is close to NaN.
    """
    return jnp.isclose(operand(x1), operand(x2), rtol, atol, equal_nan)


@op
def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |x1 - x2| <= atol + rtol |x2| everywhere; the arguments are those of `isclose`."""
    return jnp.allclose(tensor(x1), tensor(x2), rtol, atol, equal_nan)


@op
def where(condition, x1=None, x2=None):
    """x1 where the condition holds, x2 elsewhere; without them, the indices at which it holds.

    Args:
        condition: a tensor of truth values.
        x1, x2: tensors that broadcast with it, both or neither.
    """
    if (x1 is None) != (x2 is None):
        raise ValueError("where: pass both `x1` and `x2`, or neither of them.")
    if x1 is None:
        return jnp.where(known("where", condition, "Pass `x1` and `x2`, to choose from them."))
    return jnp.where(operand(condition), operand(x1), operand(x2))


@op
def select(condlist, choicelist, default=0):
    """For each value, the choice of the first condition that holds there.

    Args:
        condlist: a list of tensors of truth values.
        choicelist: a list of as many tensors.
        default: the value where no condition holds.
    """
    return jnp.select([tensor(c) for c in condlist], [operand(c) for c in choicelist], operand(default))


@op
def view(x, dtype=None):
    """The same bytes read as another dtype."""
    return tensor(x).view(None if dtype is None else jnp.dtype(dtype))


__all__ = public(globals())
