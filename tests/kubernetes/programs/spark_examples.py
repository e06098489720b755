"""Run Spark's own examples as they are, one after the other: ``spark_examples.py``.

Prints, as JSON, which have printed what they should; then works itself, and ends without stopping
its session and with a thread in its JVM that keeps one.
"""

from __future__ import annotations

import json
import subprocess
import sys

from pyspark.sql import SparkSession

EXAMPLES = {
    ("pi.py", "2"): "Pi is roughly 3.",
    ("wordcount.py", "words.txt"): "spark: 2",
    ("ml/kmeans_example.py",): "Silhouette with squared euclidean distance = 0.9",
    ("sql/basic.py",): "Justin",
}
"""By the words of its command line."""
SUBMITTED = "leaves_a_thread.py"
TIME_LIMIT_S = 240


def runs(*words: str, expected: str) -> bool:
    done = subprocess.run(
        words, check=False, stdout=subprocess.PIPE, text=True, timeout=TIME_LIMIT_S
    )
    if done.returncode or expected not in done.stdout:
        print(words, done.returncode, done.stdout[-2000:], file=sys.stderr)
        return False
    return True


found = {
    words[0]: runs(sys.executable, *words, expected=expected)
    for words, expected in EXAMPLES.items()
}
found[SUBMITTED] = runs("spark-submit", SUBMITTED, expected="sum 3")
print(json.dumps(found), flush=True)
context = SparkSession.builder.getOrCreate().sparkContext
context._jvm.java.util.Timer(False)
print("sum", context.parallelize([1, 2], 1).sum(), flush=True)
