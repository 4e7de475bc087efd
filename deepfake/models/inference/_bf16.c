/* What lies between the convolutions of an EfficientNet, in bfloat16 and in place: SiLU, means of channels, and
 * channels times factors. x86 processors with AVX-512 BF16; elsewhere `available` is false and nothing else is called.
 *
 * deepfake/models/inference/silu.py is what calls this.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define INTERFACE 1 /* counted up when a function's meaning or arguments change; swish.py asks for the same */

#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && __GNUC__ >= 11))
#include <immintrin.h>
#define FOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define INLINE static inline FOR_AVX512 __attribute__((always_inline))

#define STEP 32 /* bfloat16 values in a vector register */
#define ALL 0xffffffffu

/* STEP values, apart as a register of bfloat16 has them: the lower and the higher halves of its 32-bit words. */
typedef struct {
    __m512 even, odd;
} floats;

static int processor_can(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bf16");
}

/* The first `count` of STEP values, at most all. */
INLINE __mmask32 first(Py_ssize_t count) { return count >= STEP ? ALL : (1u << count) - 1; }

INLINE floats load(const uint16_t *from, __mmask32 chosen) {
    const __m512i values = chosen == ALL ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi16(chosen, from);
    return (floats){_mm512_castsi512_ps(_mm512_slli_epi32(values, 16)),
                    _mm512_castsi512_ps(_mm512_and_si512(values, _mm512_set1_epi32(0xffff0000)))};
}

/* Numbers 0, 16, 1, 17, ... of two registers of 16. */
#define PAIR(i) (i) + 16, (i)

INLINE void store(uint16_t *to, __mmask32 chosen, floats values) {
    const __m512i order = _mm512_set_epi16(PAIR(15), PAIR(14), PAIR(13), PAIR(12), PAIR(11), PAIR(10), PAIR(9), PAIR(8),
                                           PAIR(7), PAIR(6), PAIR(5), PAIR(4), PAIR(3), PAIR(2), PAIR(1), PAIR(0));
    const __m512i apart = (__m512i)_mm512_cvtne2ps_pbh(values.odd, values.even);
    const __m512i rounded = _mm512_permutexvar_epi16(order, apart);
    if (chosen == ALL)
        _mm512_storeu_si512(to, rounded);
    else
        _mm512_mask_storeu_epi16(to, chosen, rounded);
}

/* x / (1 + e^-x) with a relative error below 2^-12; bfloat16 keeps 2^-9. e^-x is 2^t: a power of two, by t's floor,
 * times 2 to the rest of it, by the cubic whose largest relative error on 0..1 is the least, 7.5e-5. */
INLINE __m512 silu(__m512 x) {
    const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f));
    const __m512 rest = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);
    __m512 power = _mm512_set1_ps(0.07802428f);
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.22606727f));
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.69583363f));
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.99992519f));
    power = _mm512_scalef_ps(power, t);
    return _mm512_mul_ps(x, _mm512_rcp14_ps(_mm512_add_ps(power, _mm512_set1_ps(1.0f))));
}

INLINE floats swish_at(uint16_t *at, __mmask32 chosen) {
    const floats x = load(at, chosen);
    const floats y = {silu(x.even), silu(x.odd)};
    store(at, chosen, y);
    return y;
}

FOR_AVX512 static void swish_all(uint16_t *values, Py_ssize_t count) {
    Py_ssize_t i = 0;
    for (; i + STEP <= count; i += STEP)
        swish_at(values + i, ALL);
    if (i < count)
        swish_at(values + i, first(count - i));
}

INLINE void add_to(float *sums, __mmask32 chosen, floats values) {
    const __m512i order = _mm512_set_epi32(PAIR(7), PAIR(6), PAIR(5), PAIR(4), PAIR(3), PAIR(2), PAIR(1), PAIR(0));
    const __m512 low = _mm512_permutex2var_ps(values.even, order, values.odd);
    const __m512 high =
        _mm512_permutex2var_ps(values.even, _mm512_add_epi32(order, _mm512_set1_epi32(8)), values.odd);
    const __mmask16 of_low = (__mmask16)chosen, of_high = (__mmask16)(chosen >> 16);
    _mm512_mask_storeu_ps(sums, of_low, _mm512_add_ps(_mm512_maskz_loadu_ps(of_low, sums), low));
    _mm512_mask_storeu_ps(sums + 16, of_high, _mm512_add_ps(_mm512_maskz_loadu_ps(of_high, sums + 16), high));
}

/* Two pixels at a time, since the sums of all channels do not stay in registers. */
INLINE void swish_pair_at(uint16_t *at, Py_ssize_t channels, float *sums, __mmask32 chosen) {
    const floats one = swish_at(at, chosen), other = swish_at(at + channels, chosen);
    add_to(sums, chosen, (floats){_mm512_add_ps(one.even, other.even), _mm512_add_ps(one.odd, other.odd)});
}

/* Of one picture; by_channel: float32 sums. */
FOR_AVX512 static void swish_sums(uint16_t *values, void *by_channel, Py_ssize_t pixels, Py_ssize_t channels) {
    float *sums = by_channel;
    const Py_ssize_t whole = channels - channels % STEP;
    const __mmask32 rest = first(channels - whole);
    for (; pixels >= 2; pixels -= 2, values += 2 * channels) {
        for (Py_ssize_t c = 0; c < whole; c += STEP)
            swish_pair_at(values + c, channels, sums + c, ALL);
        if (whole < channels)
            swish_pair_at(values + whole, channels, sums + whole, rest);
    }
    for (Py_ssize_t c = 0; pixels && c < channels; c += STEP)
        add_to(sums + c, first(channels - c), swish_at(values + c, first(channels - c)));
}

INLINE void scale_at(uint16_t *at, const uint16_t *factors, __mmask32 chosen) {
    const floats x = load(at, chosen), by = load(factors, chosen);
    store(at, chosen, (floats){_mm512_mul_ps(x.even, by.even), _mm512_mul_ps(x.odd, by.odd)});
}

/* One picture; by_channel: bfloat16 factors. */
FOR_AVX512 static void scale_all(uint16_t *values, void *by_channel, Py_ssize_t pixels, Py_ssize_t channels) {
    const uint16_t *factors = by_channel;
    const Py_ssize_t whole = channels - channels % STEP;
    for (; pixels; pixels--, values += channels) {
        for (Py_ssize_t c = 0; c < whole; c += STEP)
            scale_at(values + c, factors + c, ALL);
        if (whole < channels)
            scale_at(values + whole, factors + whole, first(channels - whole));
    }
}
#else
static int processor_can(void) { return 0; }
static void swish_all(uint16_t *values, Py_ssize_t count) { (void)values, (void)count; }
static void swish_sums(uint16_t *values, void *by_channel, Py_ssize_t pixels, Py_ssize_t channels) {
    (void)values, (void)by_channel, (void)pixels, (void)channels;
}
static void scale_all(uint16_t *values, void *by_channel, Py_ssize_t pixels, Py_ssize_t channels) {
    (void)values, (void)by_channel, (void)pixels, (void)channels;
}
#endif

/* values: pictures x pixels x channels of 2 bytes. by_channel: pictures x channels of `item` bytes. Returns the number
 * of channels; 0 and an error if the sizes are not such. */
static Py_ssize_t channels_of(const Py_buffer *values, const Py_buffer *by_channel, Py_ssize_t item,
                              Py_ssize_t pictures) {
    if (pictures > 0 && by_channel->len > 0 && by_channel->len % (item * pictures) == 0) {
        const Py_ssize_t channels = by_channel->len / item / pictures;
        if (values->len % (2 * pictures * channels) == 0)
            return channels;
    }
    PyErr_SetString(PyExc_ValueError, "the sizes of the values and of what belongs to their channels do not fit");
    return 0;
}

static int check_processor(void) {
    if (!processor_can())
        PyErr_SetString(PyExc_RuntimeError, "this processor has no AVX-512 BF16");
    return !PyErr_Occurred();
}

static PyObject *available(PyObject *module, PyObject *unused) { return PyBool_FromLong(processor_can()); }

static PyObject *swish(PyObject *module, PyObject *args) {
    Py_buffer values;
    if (!check_processor() || !PyArg_ParseTuple(args, "w*", &values))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    swish_all(values.buf, values.len / 2);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&values);
    Py_RETURN_NONE;
}

/* Calls `function` for each picture, with what belongs to its channels, `item` bytes each. */
static PyObject *by_picture(PyObject *args, const char *format, Py_ssize_t item,
                            void (*function)(uint16_t *, void *, Py_ssize_t, Py_ssize_t)) {
    Py_buffer values, by_channel;
    Py_ssize_t pictures;
    if (!check_processor() || !PyArg_ParseTuple(args, format, &values, &by_channel, &pictures))
        return NULL;
    const Py_ssize_t channels = channels_of(&values, &by_channel, item, pictures);
    if (channels) {
        const Py_ssize_t pixels = values.len / 2 / pictures / channels;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < pictures; i++)
            function((uint16_t *)values.buf + i * pixels * channels, (char *)by_channel.buf + i * channels * item,
                     pixels, channels);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&by_channel);
    if (!channels)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *swish_and_sum(PyObject *module, PyObject *args) {
    return by_picture(args, "w*w*n", sizeof(float), swish_sums);
}

static PyObject *scale(PyObject *module, PyObject *args) {
    return by_picture(args, "w*y*n", sizeof(uint16_t), scale_all);
}

static PyMethodDef functions[] = {
    {"available", available, METH_NOARGS, "available() -> bool: whether this processor can compute the others."},
    {"swish", swish, METH_VARARGS, "swish(values): bfloat16 values become x * sigmoid(x)."},
    {"swish_and_sum", swish_and_sum, METH_VARARGS,
     "swish_and_sum(values, sums, pictures): `swish`; the results (pictures, pixels, channels) over all pixels are "
     "added to float32 sums (pictures, channels)."},
    {"scale", scale, METH_VARARGS,
     "scale(values, factors, pictures): bfloat16 values (pictures, pixels, channels) times bfloat16 factors "
     "(pictures, channels)."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_bf16", "See deepfake/models/inference/silu.py.", -1, functions};

PyMODINIT_FUNC PyInit__bf16(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0)
        Py_CLEAR(module);
    return module;
}
