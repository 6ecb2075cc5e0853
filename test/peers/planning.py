"""Farsight's planning with gradients beside PyTorch's and JAX's, in turns: imagined states a second and their ratios."""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent
root = here.parent.parent


class Peer:
    """A process that makes updates for as many seconds as it is told to."""

    def __init__(self, script, *arguments):
        command = [sys.executable, str(here / script), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.objective = self.answer()["objective"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(self.process.args)} has ended")
        return json.loads(line)

    def measure(self, seconds):
        print(seconds, file=self.process.stdin, flush=True)
        return self.answer()["imaginedStepsPerSecond"]


def farsight(threads, seconds):
    command = ["node", str(root / "build/launch/farsight.js"), "bench", "trainer", "--json", "--presets", "none"]
    flags = ["--threads", str(threads), "--seconds", str(seconds)]
    done = subprocess.run([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["imaginedStepsPerSecond"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="for each of them in each round")
    arguments = parser.parse_args()
    threads = str(arguments.threads)
    peers = {
        "PyTorch, torch.compile": Peer("planning_torch.py", "compile", threads),
        "PyTorch, eager": Peer("planning_torch.py", "eager", threads),
        "JAX, jit": Peer("planning_jax.py", threads),
    }
    for name, peer in peers.items():
        print(f"{name}: J of the first update {peer.objective:.4f}")
    rates = {name: [] for name in ["Farsight", *peers]}
    for _ in range(arguments.rounds):
        rates["Farsight"].append(farsight(arguments.threads, arguments.seconds))
        for name, peer in peers.items():
            rates[name].append(peer.measure(arguments.seconds))
    for name, measured in rates.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(rates["Farsight"], measured))
        print(f"{name:24}{statistics.median(measured):10.0f} imagined states a second, ours is {ratio:.2f} times that")


if __name__ == "__main__":
    main()
