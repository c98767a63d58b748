#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the coefficients of sara/rank/polar_express.cpp.

    tools/polar_express.py [--lower 1e-3] [--steps 6]

Step k maps every singular value s in [l, u] to p(s) = a s + b s^3 + c s^5, where p is the minimax odd polynomial to 1 on
that interval: its error takes its extreme value, with alternating sign, at l, at the two points q < r where p' = 0, and
at u (Remez exchange on these four points). Then l <- p(l), u <- 2 - p(l), and the next step is built for the smaller interval.
The composition of such steps is itself the best of its form ("The Polar Express", 2025, Theorem 3.1); 1 - l after the last
step bounds its error on [lower, 1].
"""

import argparse
import math


def solve(rows, right):
    """Gaussian elimination with pivoting, in double precision."""
    a = [row + [value] for row, value in zip(rows, right)]
    n = len(a)
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(a[k][i]))
        a[i], a[pivot] = a[pivot], a[i]
        for k in range(i + 1, n):
            factor = a[k][i] / a[i][i]
            a[k] = [x - factor * y for x, y in zip(a[k], a[i])]
    for i in reversed(range(n)):
        a[i][n] = (a[i][n] - sum(a[i][k] * a[k][n] for k in range(i + 1, n))) / a[i][i]
    return [row[n] for row in a]


def best_quintic(l, u):
    """(a, b, c) of the minimax odd polynomial of degree 5 to 1 on [l, u]."""
    q, r, error = (3 * l + u) / 4, (l + 3 * u) / 4, math.inf
    while True:
        before = error
        a, b, c, error = solve([[x, x**3, x**5, sign] for x, sign in ((l, 1), (q, -1), (r, 1), (u, -1))], [1.0] * 4)
        root = math.sqrt(9 * b * b - 20 * a * c)  # of p' = a + 3 b x^2 + 5 c x^4
        q, r = (math.sqrt((-3 * b + sign * root) / (10 * c)) for sign in (-1, 1))
        if abs(error - before) < 1e-15:
            return a, b, c


def polar_express(lower, steps):
    """The (a, b, c) of each step, and the largest error on [lower, 1] after the last one."""
    l, out = lower, []
    for _ in range(steps):
        a, b, c = best_quintic(l, 2 - l if out else 1.0)
        l = a * l + b * l**3 + c * l**5
        out.append((a, b, c))
    return out, 1 - l


def main():
    parser = argparse.ArgumentParser(description="coefficients of the minimax iteration for the polar factor")
    parser.add_argument("--lower", type=float, default=1e-3, help="smallest singular value, of the largest, that is to become 1")
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    rows, error = polar_express(options.lower, options.steps)
    for row in rows:
        print("{" + ", ".join(f"{value:.10f}" for value in row) + "},")
    print(f"error {error:.3g}")


if __name__ == "__main__":
    main()
