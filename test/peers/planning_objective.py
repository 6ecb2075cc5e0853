"""One MPDP improvement at the paper's sizes, for any array library: what planning_torch.py and planning_jax.py run.

An array library is given as a namespace `xp` with numpy's names (exp, log, tanh, ...) and relu, silu, softplus, linear.
"""
import json
import math
import sys
import time

import numpy as np

OBSERVATIONS, ACTIONS, MEMBERS, ELITES, ROWS, HORIZON = 11, 3, 7, 5, 256, 5
DISCOUNT, ENTROPY, PENALTY = 0.99, 0.2, 0.5
LEARNING_RATE, CLIP = 3e-4, 100.0
POLICY = [OBSERVATIONS, 256, 256, 2 * ACTIONS]
CRITIC = [OBSERVATIONS + ACTIONS, 256, 256, 1]
MODEL = [OBSERVATIONS + ACTIONS, 200, 200, 200, 200, 2 * (1 + OBSERVATIONS)]


def network(random, sizes, count=None):
    """[w0, b0, w1, b1, ...]; of several networks with a leading axis."""
    lead = [] if count is None else [count]
    layers = []
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        layers.append(random.uniform(-1, 1, [*lead, fan_in, fan_out]) / math.sqrt(fan_in))
        layers.append(np.zeros([*lead, 1, fan_out]))
    return [layer.astype(np.float32) for layer in layers]


def example():
    """Networks and states; the same for every library."""
    random = np.random.default_rng(1)
    return {
        "policies": [network(random, POLICY) for _ in range(HORIZON)],
        "critic": network(random, CRITIC, 2),
        "model": network(random, MODEL, MEMBERS),
        "states": random.standard_normal([ROWS, OBSERVATIONS]).astype(np.float32),
    }


def noise(random):
    """What one improvement draws: of every step for actions and transitions, the members, and for V."""
    normal = lambda *shape: random.standard_normal(shape).astype(np.float32)
    chosen = random.integers(ELITES, size=[HORIZON, ROWS])
    members = (chosen[:, None, :] == np.arange(MEMBERS)[None, :, None])[..., None].astype(np.float32)
    return normal(HORIZON, ROWS, ACTIONS), normal(HORIZON, ROWS, 1 + OBSERVATIONS), members, normal(ROWS, ACTIONS)


def multilayer(xp, layers, x, activation):
    for i in range(0, len(layers) - 2, 2):
        x = activation(xp.linear(x, layers[i], layers[i + 1]))
    return xp.linear(x, layers[-2], layers[-1])


def act(xp, policy, states, normal):
    """A squashed Gaussian sample and its log-density."""
    output = multilayer(xp, policy, states, xp.relu)
    mean, spread = output[:, :ACTIONS], output[:, ACTIONS:]
    log_sd = 3.5 * xp.tanh(spread) - 1.5
    raw = mean + xp.exp(log_sd) * normal
    gaussian = -0.5 * normal * normal - log_sd - 0.5 * math.log(2 * math.pi)
    squash = 2 * (math.log(2) - raw - xp.softplus(-2 * raw))
    return xp.tanh(raw), (gaussian - squash).sum(1)


def predict(xp, model, states, actions):
    """Means and log-variances of all members, [members, rows, 1 + observations]."""
    output = multilayer(xp, model, xp.concatenate([states, actions], 1)[None], xp.silu)
    mean, raw = output[..., : 1 + OBSERVATIONS], output[..., 1 + OBSERVATIONS :]
    capped = 0.5 - xp.softplus(0.5 - raw)
    return mean, xp.softplus(capped + 10.0) - 10.0


def log_divergence(xp, mean, log_variance):
    """The logarithm of the One-vs-Rest divergence (Eq. 8)."""
    others = MEMBERS - 1
    deviation = mean - mean.mean(0)
    square, variance = deviation * deviation, xp.exp(log_variance)
    spread = xp.relu((square.sum(0) - square) / others - square / others**2)
    rest = (variance.sum(0) - variance) / others + spread
    apart = (variance + square * (MEMBERS / others) ** 2) / rest
    divergence = xp.log(rest) - log_variance + apart - 1
    return xp.log(0.5 * divergence.sum(2).sum(0) + 1e-3)


def loss(xp, policies, acting, critic, model, states, drawn):
    """-J (Eq. 9) of trajectories that all take HORIZON steps; `acting` is π₀ inside V, without gradient."""
    action_noise, transition_noise, members, value_noise = drawn
    total = 0.0
    for t, policy in enumerate(policies):
        actions, log_density = act(xp, policy, states, action_noise[t])
        mean, log_variance = predict(xp, model, states, actions)
        own_mean, own_log_variance = (mean * members[t]).sum(0), (log_variance * members[t]).sum(0)
        target = own_mean + xp.exp(0.5 * own_log_variance) * transition_noise[t]
        gain = target[:, 0] - ENTROPY * log_density - PENALTY * log_divergence(xp, mean, log_variance)
        total = total + DISCOUNT**t * gain.mean()
        states = states + target[:, 1:]
    actions, log_density = act(xp, acting, states, value_noise)
    values = multilayer(xp, critic, xp.concatenate([states, actions], 1)[None], xp.relu)[..., 0]
    value = xp.minimum(values[0], values[1]) - ENTROPY * log_density
    return -(total + DISCOUNT ** len(policies) * value.mean())


def serve(improve):
    """Answers each line "SECONDS" with imagined states a second; `improve()` makes an update and returns J."""
    first = improve()
    for _ in range(5):
        improve()
    print(json.dumps({"objective": first}), flush=True)
    for line in sys.stdin:
        seconds, updates, began = float(line), 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            improve()
            updates += 1
        rate = updates * HORIZON * ROWS / (time.perf_counter() - began)
        print(json.dumps({"imaginedStepsPerSecond": rate}), flush=True)
