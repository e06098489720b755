"""Train a classifier in a pipeline of Spark's own ML library, and judge it on rows it has not seen.

Shows ``pyspark.ml``: features are put together and scaled, a logistic regression learns, an
evaluator measures. The data is made so that the right answer is known.

    python examples/spark/ml_pipeline.py                      # on this machine
    ebb run --framework spark examples/spark/ml_pipeline.py   # on an autoscaling cluster
"""

from random import Random

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.sql import SparkSession

ROWS, WEIGHTS = 4_000, {"age": 0.08, "income": -0.00004, "visits": 0.5}


def row(number: int) -> tuple[float, float, float, float]:
    """A customer, and whether they will buy: a noisy line through the middle."""
    random = Random(number)
    values = (random.uniform(20, 70), random.uniform(20_000, 90_000), float(random.randrange(10)))
    score = sum(weight * value for weight, value in zip(WEIGHTS.values(), values, strict=True))
    return (*values, float(score + random.gauss(0, 0.5) > 4.05))


def main() -> None:
    """Learn from four fifths, judge on the rest."""
    session = SparkSession.builder.getOrCreate()
    rows = session.createDataFrame([row(n) for n in range(ROWS)], [*WEIGHTS, "buys"]).cache()
    split = ROWS * 4 // 5
    learn = session.createDataFrame(rows.rdd.zipWithIndex().filter(lambda p: p[1] < split).keys())
    test = session.createDataFrame(rows.rdd.zipWithIndex().filter(lambda p: p[1] >= split).keys())
    pipeline = Pipeline(
        stages=[
            VectorAssembler(inputCols=list(WEIGHTS), outputCol="raw"),
            StandardScaler(inputCol="raw", outputCol="features"),
            LogisticRegression(labelCol="buys", maxIter=20),
        ]
    )
    judged = pipeline.fit(learn).transform(test)
    area = BinaryClassificationEvaluator(labelCol="buys").evaluate(judged)
    right = judged.filter("prediction = buys").count() / (ROWS - split)
    assert area > 0.95, f"area under the curve {area:.3f}: it has learned nothing"
    assert right > 0.85, f"only {right:.0%} are right"
    print(f"learned from {split:,} rows, judged on {ROWS - split}")
    print("more than 85 % are right")
    print("the answer is right")
    session.stop()


if __name__ == "__main__":
    main()
