"""Small SavedModels of every kind that a server must load."""

from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1


def half_plus(folder: Path, addend: float = 2.0) -> None:
    """TensorFlow 1 form: y = x / 2 + addend, where the addend comes out of an asset at the start.

    Signatures: serving_default (x -> y), classify_x_to_y and regress_x_to_y (tf.Examples),
    regress_x_to_y2 (another input), pair (x -> y and a two-column z).
    """
    asset = folder.parent / f"addend-{folder.name}.txt"
    asset.parent.mkdir(parents=True, exist_ok=True)
    asset.write_text(str(addend))
    with tf.Graph().as_default(), v1.Session() as session:
        name = tf.constant(str(asset))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, name)
        addition = v1.get_variable("addend", initializer=0.0)
        half = v1.get_variable("half", initializer=0.5)
        read = v1.assign(addition, tf.strings.to_number(tf.io.read_file(name)))

        def apply(x: tf.Tensor) -> tf.Tensor:
            return half * x + addition

        examples = v1.placeholder(tf.string, [None], "examples")
        spec = {"x": tf.io.FixedLenFeature([1], tf.float32)}
        parsed = tf.io.parse_example(examples, spec)["x"]
        x = v1.placeholder(tf.float32, [None, 1], "x")
        y = tf.identity(apply(x), "y")
        from_example = tf.identity(half * parsed + addition, "from_example")
        labels = tf.strings.as_string(from_example, precision=1)
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.build_signature_def
        classify, regress = "tensorflow/serving/classify", "tensorflow/serving/regress"
        predict = "tensorflow/serving/predict"
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": signature({"x": info(x)}, {"y": info(y)}, predict),
                "classify_x_to_y": signature(
                    {"inputs": info(examples)}, {"scores": info(from_example)}, classify
                ),
                "classify_labelled": signature(
                    {"inputs": info(examples)},
                    {"scores": info(from_example), "classes": info(labels)},
                    classify,
                ),
                "regress_x_to_y": signature(
                    {"inputs": info(examples)}, {"outputs": info(from_example)}, regress
                ),
                "pair": signature(
                    {"x": info(x)},
                    {"y": info(y), "z": info(tf.concat([y, y * 2], axis=1))},
                    predict,
                ),
                "scalar": signature({"x": info(x)}, {"n": info(tf.size(x))}, predict),
            },
            main_op=read.op,
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()


class Mixed(tf.Module):
    """TensorFlow 2 form, with inputs of several types and a table of strings."""

    def __init__(self) -> None:
        super().__init__()
        keys = tf.constant(["red", "green"])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, tf.constant([1, 2], tf.int64)), -1
        )

    @tf.function
    def colours(self, name: tf.Tensor, weight: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "number": self.table.lookup(name),
            "weighted": tf.cast(tf.strings.length(name), tf.float32) * weight,
            "echo": name,
            "echo_bytes": name,
        }

    @tf.function
    def total(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(x, axis=-1)}

    @tf.function
    def number(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"number": tf.strings.to_number(x)}

    @tf.function
    def fail(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_less(x, 10.0, "x must be small")]):
            return {"x": tf.identity(x)}


TYPES = [
    tf.float32,
    tf.float64,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint32,
    tf.uint64,
    tf.bool,
    tf.string,
    tf.half,
    tf.bfloat16,
    tf.complex64,
]


def mixed(folder: Path) -> None:
    """Signatures: serving_default (name, weight), total (variable length), fail and number (which
    refuse some values), and one per type that gives back what it gets (`echo_float32` ...)."""
    model = Mixed()
    spec = tf.TensorSpec
    signatures = {
        "serving_default": model.colours.get_concrete_function(
            name=spec([None], tf.string), weight=spec([None], tf.float32)
        ),
        "total": model.total.get_concrete_function(x=spec([None, None], tf.float32)),
        "number": model.number.get_concrete_function(x=spec([None], tf.string)),
        "fail": model.fail.get_concrete_function(x=spec([None], tf.float32)),
    }
    for kind in TYPES:
        echo = tf.function(lambda x: {"y": tf.identity(x)})
        signatures[f"echo_{kind.name}"] = echo.get_concrete_function(x=spec(None, kind))
    tf.saved_model.save(model, str(folder), signatures=signatures)
