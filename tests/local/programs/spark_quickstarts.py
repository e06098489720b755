"""What Spark's own examples show, in other words: one session, and a line for each."""

import random
import threading

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import HashingTF, Tokenizer
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

TEXT = ["spark counts words", "words of spark", "other words"]


def near(seed: int) -> int:
    draw = random.Random(seed)
    return sum(draw.random() ** 2 + draw.random() ** 2 < 1 for _ in range(1000))


def pi(spark: SparkSession) -> str:
    inside = spark.sparkContext.parallelize(range(8), 2).map(near).sum()
    return f"pi {4 * inside / 8000}"


def wordcount(spark: SparkSession) -> str:
    words = spark.createDataFrame([(line,) for line in TEXT], ["line"]).select(
        F.explode(F.split("line", " ")).alias("word")
    )
    counts = words.groupBy("word").count().orderBy(F.desc("count"), "word").collect()
    return f"words {[(row['word'], row['count']) for row in counts]}"


def pipeline(spark: SparkSession) -> str:
    rows = [(0, "a b c spark", 1.0), (1, "b d", 0.0), (2, "spark f g", 1.0), (3, "hadoop", 0.0)]
    training = spark.createDataFrame(rows, ["id", "text", "label"])
    stages = [
        Tokenizer(inputCol="text", outputCol="words"),
        HashingTF(inputCol="words", outputCol="features", numFeatures=64),
        LogisticRegression(maxIter=1, regParam=0.01),
    ]
    model = Pipeline(stages=stages).fit(training)
    found = model.transform(training).orderBy("id").select("prediction").collect()
    return f"predictions {[row.prediction for row in found]}"


def stream(spark: SparkSession) -> str:
    ticks = spark.readStream.format("rate").option("rowsPerSecond", 20).load()
    query = ticks.writeStream.format("memory").queryName("ticks").start()
    while spark.table("ticks").count() < 5:
        threading.Event().wait(0.2)
    query.stop()
    values = [row.value for row in spark.table("ticks").orderBy("value").collect()]
    return f"stream {values[:5] == list(range(5))}"


if __name__ == "__main__":
    session = SparkSession.builder.appName("quick starts").getOrCreate()
    print("partitions", session.conf.get("spark.sql.shuffle.partitions"))
    for example in (pi, wordcount, pipeline, stream):
        print(example(session), flush=True)
    session.stop()
