"""A small classifier of digits, whose features `jaxgan.evaluation` uses."""

import flax.linen as nn
import jax

from jaxgan.networks._checked import Checked


class DigitClassifier(Checked):
    """Images to features and class logits: two 3 x 3 convolutions, a maximum, two dense layers.

    32 and 64 channels, the maximum of each 2 x 2 pixels, 128 units, the classes; ReLU in between,
    and dropout (0.25 and 0.5) before the dense layers. With 28 x 28 x 1 images and ten classes it
    has 1,199,882 parameters. This net became common as an example of Keras.

    Args:
      num_classes: how many logits.
      features: channels of the two convolutions, units of the dense layer.

    Returns:
      When called with `images`, `[batch, height, width, channels]` in [-1, 1], and `train`, which
      asks for dropout and needs a key of that name: the units after their ReLU, `[batch,
      features[-1]]`, and logits, `[batch, num_classes]`.

    Example:
      >>> import jax, jaxgan
      >>> classifier = jaxgan.networks.DigitClassifier(features=(4, 4, 16))
      >>> images = jax.numpy.zeros((3, 28, 28, 1))
      >>> outputs, variables = classifier.init_with_output(jax.random.key(0), images, train=False)
      >>> features, logits = outputs
      >>> features.shape, logits.shape
      ((3, 16), (3, 10))
    """

    num_classes: int = 10
    features: tuple[int, int, int] = (32, 64, 128)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        images = self.as_floats(images, "[batch, height, width, channels]")
        few, many, units = self.features
        x = (images + 1.0) / 2.0  # most pixels are black, now 0
        x = nn.relu(nn.Conv(few, (3, 3), padding="VALID")(x))
        x = nn.relu(nn.Conv(many, (3, 3), padding="VALID")(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.Dropout(0.25, deterministic=not train)(x)
        features = nn.relu(nn.Dense(units)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(0.5, deterministic=not train)(features)
        return features, nn.Dense(self.num_classes)(x)
