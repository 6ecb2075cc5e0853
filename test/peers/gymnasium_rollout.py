"""Compares Farsight's rollouts with Gymnasium's environment, from random states through random actions.

Prints one JSON object: the largest absolute differences over all rollouts. --fixture writes the first rollouts, as
Gymnasium gave them, for the tests that run without Python.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import warnings

import gymnasium
import mujoco
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The environment, how far from its start state the random states' positions lie (rad or m), and how many of its
# observations are the task's: the first ones, all when not said.
ENVIRONMENTS = {
    "inverted-pendulum": ("InvertedPendulum-v4", 0.25),
    "hopper": ("Hopper-v4", 0.1),
    "walker2d": ("Walker2d-v4", 0.1),
    "half-cheetah": ("HalfCheetah-v4", 0.1),
    "ant": ("Ant-v4", 0.1),
    "humanoid": ("Humanoid-v4", 0.1, 45),
}


def random_case(random, env, spread, steps, extreme):
    """A state near and beyond the start states, and actions of which some lie outside the actuators' limits.

    An extreme one lies anywhere: thrown over, in the air or in the floor, and one joint or all of them at up to 300 rad/s.
    """
    model = env.model
    low, high = model.actuator_ctrlrange.T
    speed = 1
    if extreme:
        spread = random.choice([spread, 0.3, 1, 2])
        speed = random.choice([1, 20, 100, 300])
    qvel = random.uniform(-speed, speed, model.nv)
    if extreme and random.random() < 0.5:
        one = random.integers(model.nv)
        qvel = np.where(np.arange(model.nv) == one, qvel, random.uniform(-1, 1, model.nv))
    return {
        "qpos": (env.init_qpos + random.uniform(-spread, spread, model.nq)).tolist(),
        "qvel": qvel.tolist(),
        "actions": random.uniform(1.2 * low, 1.2 * high, (steps, model.nu)).tolist(),
    }


def gymnasium_rollout(env, case, size):
    """The same rollout in Gymnasium: what it observes, rewards and ends, past a termination too."""
    env.reset()
    env.set_state(np.array(case["qpos"]), np.array(case["qvel"]))
    observations, rewards, terminated = [env._get_obs()[:size].tolist()], [], []
    for action in case["actions"]:
        observation, reward, end, _, _ = env.step(np.array(action))
        observations.append(np.asarray(observation)[:size].tolist())
        rewards.append(float(reward))
        terminated.append(bool(end))
    return {"observations": observations, "rewards": rewards, "terminated": terminated}


def farsight_rollout(task, case):
    """The rollout through the command line, as a user would run it."""
    with tempfile.TemporaryDirectory() as folder:
        state, actions = pathlib.Path(folder, "state.json"), pathlib.Path(folder, "actions.json")
        state.write_text(json.dumps({"qpos": case["qpos"], "qvel": case["qvel"]}))
        actions.write_text(json.dumps(case["actions"]))
        done = subprocess.run(
            ["node", ROOT / "build/launch/farsight.js", "rollout", "--json"]
            + ["--task", task, "--state", state, "--actions", actions],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=ENVIRONMENTS, default="inverted-pendulum")
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extreme", action="store_true", help="from extreme states: where one step from there ends")
    parser.add_argument("--fixture", type=pathlib.Path, help="write the first three rollouts to this file")
    options = parser.parse_args()

    warnings.filterwarnings("ignore")
    random = np.random.default_rng(options.seed)
    name, spread, *size = ENVIRONMENTS[options.task]
    size = size[0] if size else None
    env = gymnasium.make(name).unwrapped
    mass = float(env.model.body_mass.sum())
    steps = 1 if options.extreme else options.steps
    cases = [random_case(random, env, spread, steps, options.extreme) for _ in range(options.rollouts)]
    expected = [gymnasium_rollout(env, case, size) for case in cases]
    if options.fixture and options.extreme:
        cases_of = json.loads(options.fixture.read_text()) if options.fixture.exists() else {}
        cases_of[options.task] = [
            {**case, "terminated": theirs["terminated"][0]} for case, theirs in zip(cases, expected)
        ]
        options.fixture.write_text(json.dumps(cases_of) + "\n")
    elif options.fixture:
        made = (
            f"test/peers/gymnasium_rollout.py --task {options.task} --steps {steps} --seed {options.seed}: "
            f"Gymnasium {gymnasium.__version__} {name}, MuJoCo {mujoco.mj_versionString()}"
        )
        rollouts = [case | result for case, result in zip(cases[:3], expected)]
        fixture = {"made": made, "mass": mass, "rollouts": rollouts}
        options.fixture.write_text(json.dumps(fixture) + "\n")

    worst = {"observations": 0.0, "rewards": 0.0}
    terminations = disagreements = 0
    for case, theirs in zip(cases, expected):
        ours = farsight_rollout(options.task, case)
        for key in worst:
            worst[key] = max(worst[key], float(np.abs(np.array(ours[key]) - np.array(theirs[key])).max()))
        terminations += sum(theirs["terminated"])
        disagreements += sum(a != b for a, b in zip(ours["terminated"], theirs["terminated"]))
    print(
        json.dumps(
            {
                "task": options.task,
                "gymnasium": gymnasium.__version__,
                "mujoco": mujoco.mj_versionString(),
                "totalMass": mass,
                "steps": options.rollouts * steps,
                "largestDifference": worst,
                "terminatedSteps": terminations,
                "terminationDisagreements": disagreements,
            }
        )
    )


if __name__ == "__main__":
    main()
