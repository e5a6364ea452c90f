"""The forward pass of BERT and its kin over real tokens alone, for texts that teach nothing now.

A batch of titles is half padding. Here projections, norms and feed-forward nets see each real token
once, [tokens, dim]; only attention, a few percent of the work, sees padded rows. Queries, keys and
values come from one product, and gelu is written in the form that TensorFlow fuses with the product
before it where oneDNN is in use. Shapes depend on the texts, so XLA cannot compile this.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Of keras-hub; all are made of its `TransformerEncoder`, with the norms behind the residuals.
BACKBONES = ("BertBackbone", "DistilBertBackbone", "RobertaBackbone")
_MASKED = -1e9


def unpadded_states(backbone: Any, inputs: dict[str, Any]) -> Any:
    """What the backbone makes of each token, without dropout, but for rounding.

    The weights are read through Keras, so that LoRA matrices and stored weights count.

    Arguments:
        backbone: a float32 backbone of one of the classes `BACKBONES`.
        inputs: of the backbone: token_ids int32 [B, L], padding_mask int32 [B, L], 1 for a real
            token, and segment_ids where it takes any.

    Returns:
        float32 [B, L, dim]; whatever on padding.

    Example:
        >>> states = unpadded_states(encoder.backbone, inputs)  # doctest: +SKIP
    """
    import keras

    embedded = keras.Model(backbone.inputs, backbone.get_layer("embeddings_layer_norm").output)
    states = embedded(inputs)  # [B, L, dim]
    mask = tf.cast(inputs["padding_mask"], tf.bool)
    batch, length, dim = tf.shape(mask)[0], tf.shape(mask)[1], states.shape[-1]
    # The first token of every text counts, so that also a batch of nothing but padding has some.
    kept = tf.reshape(tf.logical_or(mask, tf.range(length) == 0), [-1])
    real = tf.where(kept)[:, 0]  # [tokens], places of real tokens
    # Which token stands at each place; on padding the one before.
    place = tf.reshape(tf.cumsum(tf.cast(kept, tf.int32)) - 1, [batch, length])
    bias = tf.where(mask, 0.0, _MASKED)[:, None, None, :]
    x = tf.gather(tf.reshape(states, [-1, dim]), real)  # [tokens, dim]
    for layer in _layers(backbone):
        attention = layer._self_attention_layer
        heads = (attention._query_dense, attention._key_dense, attention._value_dense)
        kernel = tf.concat([tf.reshape(_read(one.kernel), [dim, dim]) for one in heads], axis=1)
        shift = tf.concat([tf.reshape(_read(one.bias), [dim]) for one in heads], axis=0)
        projected = tf.gather(tf.nn.bias_add(tf.matmul(x, kernel), shift), place)
        shape = [batch, length, 3, layer.num_heads, dim // layer.num_heads]
        query, key, value = tf.unstack(
            tf.transpose(tf.reshape(projected, shape), [2, 0, 3, 1, 4])
        )  # 3 x [B, heads, L, width]
        logits = tf.matmul(query * shape[-1] ** -0.5, key, transpose_b=True) + bias
        read = tf.matmul(tf.nn.softmax(logits), value)
        read = tf.reshape(tf.transpose(read, [0, 2, 1, 3]), [-1, dim])
        merge = attention._output_dense
        kernel = tf.reshape(_read(merge.kernel), [dim, dim])
        read = tf.nn.bias_add(tf.matmul(tf.gather(read, real), kernel), _read(merge.bias))
        x = _norm(layer._self_attention_layer_norm, x + read)
        expand, contract = layer._feedforward_intermediate_dense, layer._feedforward_output_dense
        hidden = _activated(expand.activation, _dense(expand, x))
        x = _norm(layer._feedforward_layer_norm, x + _dense(contract, hidden))
    return tf.reshape(tf.gather(x, tf.reshape(place, [-1])), [batch, length, dim])


def _layers(backbone: Any) -> list[Any]:
    return [layer for layer in backbone.layers if layer.name.startswith("transformer_layer_")]


def _read(weight: Any) -> Any:
    from keras import ops

    return ops.convert_to_tensor(weight)


def _dense(layer: Any, x: Any) -> Any:
    return tf.nn.bias_add(tf.matmul(x, _read(layer.kernel)), _read(layer.bias))


def _activated(activation: Any, x: Any) -> Any:
    import keras

    if activation is keras.activations.gelu:  # the exact one
        return 0.5 * x * (1.0 + tf.math.erf(x * 0.5**0.5))
    return activation(x)


def _norm(layer: Any, x: Any) -> Any:
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axis=-1, keepdims=True)
    scale = tf.math.rsqrt(variance + layer.epsilon) * _read(layer.gamma)
    return x * scale + (_read(layer.beta) - mean * scale)
