"""What `farsight compare --out runs.csv` says beside what rliable makes of the same scores."""

import argparse
import csv
import json

import numpy as np
from rliable import library, metrics


def read(path):
    """Scores by task and label, and every estimate by quantity, task, label, against, at."""
    scores, ours = {}, {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            number = lambda key: float(row[key]) if row[key] else None
            if row["quantity"] == "score":
                scores.setdefault(row["task"], {}).setdefault(row["label"], []).append(number("value"))
            elif not row["seed"]:
                key = (row["quantity"], row["task"], row["label"], row["against"])
                ours.setdefault(key, []).append([number(k) for k in ("at", "value", "low", "high")])
    return scores, ours


def estimate(arrays, function, reps):
    """rliable's value, and its low and high end of 95 %."""
    values, intervals = library.get_interval_estimates({"it": arrays}, function, reps=reps)
    return np.vstack([values["it"], intervals["it"]])


def show(name, ours, theirs):
    text = lambda three: "  ".join(f"{value:12.6g}" for value in three)
    print(f"{name:58}  ours {text(ours)}   rliable {text(theirs)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv")
    parser.add_argument("--reps", type=int, default=2000, help="resamples of rliable's bootstraps")
    parser.add_argument("--fixture", help="writes the scores and rliable's numbers over all tasks as JSON")
    arguments = parser.parse_args()
    np.random.seed(1)
    scores, ours = read(arguments.csv)
    scopes = {task: {label: [runs] for label, runs in labels.items()} for task, labels in scores.items()}
    if len(scores) > 1:
        labels = set.intersection(*(set(labels) for labels in scores.values()))
        scopes["all tasks"] = {label: [runs[label] for runs in scores.values()] for label in sorted(labels)}
    fixture = {}
    for scope, labels in scopes.items():
        matrices = {}
        for label, tasks in labels.items():
            if len({len(runs) for runs in tasks}) > 1 or len(tasks[0]) < 2:
                print(f"{scope}, {label}: rliable wants as many runs of each task, and two")
                continue
            matrices[label] = np.array(tasks).T
        for label, matrix in matrices.items():
            mean = estimate(matrix, lambda x: np.array([metrics.aggregate_iqm(x)]), arguments.reps)[:, 0]
            show(f"{scope}, {label}: interquartile mean", ours["interquartile mean", scope, label, ""][-1][1:], mean)
            profile = np.array(ours["performance profile", scope, label, ""])[::10]
            theirs = estimate(matrix, lambda x: library.score_distributions(x, profile[:, 0]), arguments.reps)
            difference = np.abs(profile[:, 1:].T - theirs).max(axis=1)
            print(f"{scope}, {label}: performance profile, largest differences of value, low, high: {difference}")
            if scope == "all tasks":
                fixture[label] = {
                    "scores": labels[label],
                    "interquartileMean": mean.tolist(),
                    "thresholds": profile[:, 0].tolist(),
                    "profile": theirs.tolist(),
                    "improvement": {},
                }
            for other, against in matrices.items():
                if other == label:
                    continue
                better = estimate(
                    [matrix, against], lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), arguments.reps
                )[:, 0]
                key = ("probability of improvement", scope, label, other)
                show(f"{scope}, {label}: probability above {other}", ours[key][0][1:], better)
                if scope == "all tasks":
                    fixture[label]["improvement"][other] = better.tolist()
    if arguments.fixture:
        with open(arguments.fixture, "w") as file:
            json.dump(fixture, file)
            file.write("\n")


main()
