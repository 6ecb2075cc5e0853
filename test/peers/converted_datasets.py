"""Holds `farsight convert` against the real LeRobot and the real Minari, in both directions, number by number.

Out: a dataset of `farsight collect` is joined here once more, by pandas, and each of its transitions must be what
LeRobotDataset and minari.load_dataset give of the converted ones. In: both libraries write a small dataset, and what
`farsight convert` makes of it must be what the libraries themselves read. Prints one JSON object. --fixture keeps the
small datasets, and what the libraries read of them, for the tests that run without Python.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import warnings

import numpy as np
import pandas

ROOT = pathlib.Path(__file__).resolve().parents[2]
FARSIGHT = ["node", str(ROOT / "build" / "launch" / "farsight.js")]
POLICY_STEP, GAP, FAULT, TERMINAL, RESET = 1, 2, 8, 16, 32
NAMES = ["jointPosition slider", "jointPosition hinge", "jointVelocity slider", "jointVelocity hinge"]


def convert(*arguments):
    done = subprocess.run([*FARSIGHT, "convert", *map(str, arguments), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def transitions_of(dataset):
    """(observation, command, next observation, terminal), run by run, in the order of time."""
    about = json.loads((dataset / "dataset.json").read_text())["interface"]
    index = pandas.read_json(dataset / "index.jsonl", lines=True)
    parts = [line["part"] for _, line in index.iterrows() if isinstance(line["part"], dict)]
    rows = pandas.concat([pandas.read_parquet(dataset / part["path"]) for part in parts])
    vector = lambda kind: [name for name in rows.columns if name.startswith(f"{kind} ")]
    period = 1 / about["controlRate"]
    found = []
    runs = [run.sort_values("tick") for _, run in rows.groupby(["robot", "boot"])]
    for run in sorted(runs, key=lambda run: run["time"].min()):
        observation = run[vector("observation")].to_numpy(np.float32)
        command = run[vector("command")].to_numpy(np.float64)
        flags, scheduled, stamp = (run[name].to_numpy() for name in ("flags", "scheduled", "sensor_stamp"))
        acts = (run["mode"] == "policy").to_numpy() & (flags & FAULT == 0)
        steps = np.flatnonzero(flags & POLICY_STEP)
        for a, b in zip(steps, steps[1:]):
            between = range(a + 1, b + 1)
            joins = (
                acts[a]
                and all(acts[i] and not flags[i] & (GAP | RESET) for i in between)
                and not flags[a] & TERMINAL
                and all(np.array_equal(command[i], command[a]) for i in range(a + 1, b))
                and 0.5 * period <= scheduled[b] - scheduled[a] <= 1.5 * period
                and stamp[b] > stamp[a]
                and np.isfinite([*observation[a], *observation[b], *command[a]]).all()
            )
            if joins:
                terminal = any(flags[i] & TERMINAL for i in between)
                found.append((observation[a], command[a].astype(np.float32), observation[b], bool(terminal)))
    return found


def lerobot_transitions(root, episodes=None):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("peers/converted", root=root, episodes=episodes)
    found, rewards = [], []
    frames = [dataset[i] for i in range(len(dataset))]
    vector = lambda frame, name: frame[name].numpy().reshape(-1)
    for a, b in zip(frames, frames[1:]):
        if a["episode_index"] == b["episode_index"]:
            done = bool(a["next.done"]) if "next.done" in a else False
            states = vector(a, "observation.state"), vector(a, "action"), vector(b, "observation.state")
            found.append((*states, done))
            rewards.append(float(a["next.reward"]) if "next.reward" in a else np.nan)
    return found, rewards, dataset


def minari_transitions(folder, name):
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    import minari

    found, rewards = [], []
    dataset = minari.load_dataset(name)
    for episode in dataset.iterate_episodes():
        steps = len(episode.actions)
        assert len(episode.observations) == steps + 1 == len(episode.rewards) + 1
        assert episode.terminations[-1] != episode.truncations[-1] and not episode.truncations[:-1].any()
        for i in range(steps):
            states = episode.observations[i], episode.actions[i], episode.observations[i + 1]
            found.append((*(np.asarray(one, np.float32) for one in states), bool(episode.terminations[i])))
            rewards.append(float(episode.rewards[i]))
    assert dataset.total_steps == len(found)
    return found, rewards, dataset


def differing(ours, theirs):
    """How many transitions have a number that is not the same to the last bit; all when there are more or fewer."""
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)}"
    same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(a[:3], b[:3])) and a[3] == b[3]
    return sum(not same(a, b) for a, b in zip(ours, theirs))


def check_export(dataset, folder):
    ours = transitions_of(dataset)
    lerobot = convert(dataset, "--to", "lerobot", "--out", folder / "out-lerobot")
    convert(dataset, "--to", "minari", "--out", folder / "out-v0")
    theirs, rewards, real = lerobot_transitions(folder / "out-lerobot")
    minari, minari_rewards, spaces = minari_transitions(folder, "out-v0")
    every = np.stack([frame["observation.state"].numpy().astype(np.float64) for frame in (real[i] for i in range(len(real)))])
    stats = real.meta.stats["observation.state"]
    middle, _, _ = lerobot_transitions(folder / "out-lerobot", episodes=[real.num_episodes - 1])
    # Steps to come and gone, as policies ask for them.
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    window = {"action": [0, 1 / real.fps]}
    ahead = LeRobotDataset("peers/converted", root=folder / "out-lerobot", delta_timestamps=window)[0]["action"]
    return {
        "transitions": len(ours),
        "episodes": lerobot["episodes"],
        "lerobot": differing(ours, theirs),
        "minari": differing(ours, minari),
        "rewards": float(np.nanmax(np.abs(np.subtract(rewards, minari_rewards)))) if lerobot["rewards"] else None,
        "lerobotMeanAndSd": [float(np.abs(stats["mean"] - every.mean(0)).max()), float(np.abs(stats["std"] - every.std(0)).max())],
        "lastEpisodeAlone": len(middle),
        "ahead": list(ahead.shape),
        "observationSpace": str(spaces.observation_space.shape),
        "task": real[0]["task"],
    }


def make_lerobot(folder, episodes):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    features = {
        "observation.state": {"dtype": "float32", "shape": (4,), "names": NAMES},
        "action": {"dtype": "float32", "shape": (1,), "names": ["effort slider"]},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    }
    dataset = LeRobotDataset.create("peers/made", 25, features, root=folder, use_videos=False)
    for observations, actions, ends in episodes:
        for i, observation in enumerate(observations):
            action = actions[min(i, len(actions) - 1)]
            done = np.array([ends and i >= len(actions) - 1])
            dataset.add_frame({"observation.state": observation, "action": action, "next.done": done, "task": "balance"})
        dataset.save_episode()
    dataset.finalize()


def make_minari(folder, name, layout, episodes):
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    import minari
    from gymnasium.spaces import Box
    from minari.data_collector.episode_buffer import EpisodeBuffer

    buffers = [
        EpisodeBuffer(
            observations=observations.astype(np.float64),
            actions=actions,
            rewards=[1.0] * len(actions),
            terminations=[False] * (len(actions) - 1) + [ends],
            truncations=[False] * (len(actions) - 1) + [not ends],
        )
        for observations, actions, ends in episodes
    ]
    spaces = Box(-np.inf, np.inf, (4,), np.float64), Box(-3, 3, (1,), np.float32)
    minari.create_dataset_from_buffers(
        name, buffers, observation_space=spaces[0], action_space=spaces[1], data_format=layout
    )


def check_import(folder, fixture):
    random = np.random.default_rng(1)
    episodes = [
        (random.normal(size=(steps + 1, 4)).astype(np.float32), random.uniform(-3, 3, (steps, 1)).astype(np.float32), ends)
        for steps, ends in ((5, True), (3, False))
    ]
    make_lerobot(folder / "made-lerobot", episodes)
    make_minari(folder, "made-hdf5-v0", "hdf5", episodes)
    make_minari(folder, "made-parquet-v0", "parquet", episodes)
    read = {
        "made-lerobot": lerobot_transitions(folder / "made-lerobot")[0],
        "made-hdf5-v0": minari_transitions(folder, "made-hdf5-v0")[0],
        "made-parquet-v0": minari_transitions(folder, "made-parquet-v0")[0],
    }
    result = {"transitions": len(read["made-lerobot"])}
    for name, theirs in read.items():
        out = folder / f"in-{name}"
        convert(folder / name, "--task", "inverted-pendulum", "--out", out)
        result[name] = differing(transitions_of(out), theirs)
    if fixture:
        for name in read:
            shutil.rmtree(fixture / name, ignore_errors=True)
            # Statistics are the larger part of a small dataset, and nothing here reads them.
            ignore = shutil.ignore_patterns("episodes", "stats.json", "tasks.parquet", "*.lock")
            shutil.copytree(folder / name, fixture / name, ignore=ignore)
        keep = [[list(map(float, one)) for one in row[:3]] + [row[3]] for row in read["made-lerobot"]]
        (fixture / "transitions.json").write_text(json.dumps(keep) + "\n")
    return result


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="a dataset of 'farsight collect'")
    parser.add_argument("--fixture", type=pathlib.Path, help="where the small datasets are kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        result = {"in": check_import(folder, arguments.fixture)}
        if arguments.data:
            result["out"] = check_export(arguments.data, folder)
    print(json.dumps(result, indent=2))
