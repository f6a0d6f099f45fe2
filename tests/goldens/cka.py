"""Writes cka.json: linear CKA by its definitions, with matrices of ones and traces.

    pip install numpy && python cka.py > cka.json

Rows of level i of a network of case NAME: uniform(NAME/KEYi) [samples, width] + a part that all levels share:
uniform(NAME/shared) [samples, 4], repeated over the columns. `hsic` is HSIC_1 of Song et al. (JMLR 2012), equation 5, of linear
kernels; `cka` is HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)); `minibatch` takes the mean of each over batches first
(Nguyen, Raghu, Kornblith, ICLR 2021, equation 3).
"""

import json

import numpy as np

MASK = (1 << 64) - 1


def uniform(key, count):
    """SplitMix64 seeded with FNV-1a of the key, in [-1, 1)."""
    state = 0xCBF29CE484222325
    for byte in key.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    values = []
    for i in range(count):
        z = (state + i + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        values.append(2 * (z >> 40) / (1 << 24) - 1)
    return np.array(values)


def hsic(x, y):
    n = len(x)
    k, l = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    one = np.ones((n, 1))
    across = (one.T @ k @ l @ one).item()
    whole = (one.T @ k @ one).item() * (one.T @ l @ one).item() / ((n - 1) * (n - 2))
    return (np.trace(k @ l) + whole - 2 / (n - 2) * across) / (n * (n - 3))


def case(name, samples, batch, teacher, student):
    shared = uniform(f"{name}/shared", samples * 4).reshape(samples, 4)

    def levels(key, widths):
        made = []
        for i, width in enumerate(widths):
            noise = uniform(f"{name}/{key}{i}", samples * width).reshape(samples, width)
            made.append(noise + shared[:, np.arange(width) % 4])
        return made

    ts, ss = levels("teacher", teacher), levels("student", student)
    parts = [slice(i, min(i + batch, samples)) for i in range(0, samples, batch)]
    parts = [part for part in parts if part.stop - part.start >= 4]
    mean = lambda x, y: np.mean([hsic(x[p], y[p]) for p in parts])
    table = lambda value: [[float(value(t, s)) for s in ss] for t in ts]
    return {
        "name": name,
        "samples": samples,
        "batch": batch,
        "teacher": teacher,
        "student": student,
        "hsic": table(hsic),
        "cka": table(lambda t, s: hsic(t, s) / np.sqrt(hsic(t, t) * hsic(s, s))),
        "minibatch": table(lambda t, s: mean(t, s) / np.sqrt(mean(t, t) * mean(s, s))),
    }


cases = [
    case("few numbers", 40, 10, [3, 5], [4, 2]),
    case("more numbers than samples", 24, 8, [60, 100], [80]),
    case("an uneven last batch", 30, 13, [6, 7, 8], [9, 5]),
    case("a last batch that is too small", 34, 8, [6], [9, 5]),
]
print(json.dumps({"how": "tests/goldens/cka.py", "cases": cases}, indent=1))
