"""The improvement of planning_objective.py in JAX, one jitted function. Argument: the number of threads."""
import os
import sys
from types import SimpleNamespace

threads = int(sys.argv[1])
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool

import jax
import numpy as np
from jax import nn
from jax import numpy as jnp

import planning_objective as planning

xp = SimpleNamespace(
    **{name: getattr(jnp, name) for name in ["exp", "log", "tanh", "minimum", "concatenate"]},
    relu=nn.relu,
    silu=nn.silu,
    softplus=nn.softplus,
    linear=lambda x, weights, bias: jnp.matmul(x, weights) + bias,
)


def adam(parameters, gradient, moments, count):
    norm = jnp.sqrt(sum((g * g).sum() for g in gradient))
    scale = jnp.minimum(1.0, planning.CLIP / (norm + 1e-6))
    updated = []
    for p, g, (m, v) in zip(parameters, gradient, moments):
        g = g * scale
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)
        updated.append((p - planning.LEARNING_RATE * step, (m, v)))
    return [p for p, _ in updated], [moment for _, moment in updated]


def update(policies, moments, count, critic, model, states, drawn):
    def cost(all_policies):
        acting = jax.lax.stop_gradient(all_policies[0])
        return planning.loss(xp, all_policies, acting, critic, model, states, drawn)

    value, gradients = jax.value_and_grad(cost)(policies)
    done = [adam(*each, count) for each in zip(policies, gradients, moments)]
    return [p for p, _ in done], [m for _, m in done], -value


def main():
    example = jax.tree.map(jnp.asarray, planning.example())
    policies = example["policies"]
    # Moments are given away with the policies: no two of them may share memory.
    moments = jax.tree.map(lambda p: (jnp.zeros_like(p), jnp.zeros_like(p)), policies)
    compiled = jax.jit(update, donate_argnums=(0, 1))
    random = np.random.default_rng(2)
    state = [policies, moments, 0]

    def improve():
        state[2] += 1
        fixed = example["critic"], example["model"], example["states"]
        state[0], state[1], objective = compiled(*state[:2], float(state[2]), *fixed, planning.noise(random))
        return float(jax.block_until_ready((objective, state[0]))[0])

    planning.serve(improve)


main()
