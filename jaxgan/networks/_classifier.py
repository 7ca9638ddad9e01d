"""A small digit classifier, whose features `jaxgan.evaluation` uses."""

import flax.linen as nn
import jax

from jaxgan.networks._checked import Checked


class DigitClassifier(Checked):
    """Maps images to features and class logits: two convolutions, max pooling, two dense layers.

    The convolutions are 3 x 3 with 32 and 64 channels, the pooling is 2 x 2, and the dense layers
    have 128 units and one logit for each class. ReLU is in between, and dropout (0.25 and 0.5)
    before the dense layers. With 28 x 28 x 1 images and ten classes the network has 1,199,882
    parameters. The network is a common Keras example.

    Args:
      num_classes: the number of logits.
      features: channels of the two convolutions, units of the first dense layer.

    Returns:
      The call takes `images`, `[batch, height, width, channels]` in [-1, 1], and `train`, which
      enables dropout and needs a "dropout" key. It returns features, the units after their ReLU,
      `[batch, features[-1]]`, and logits, `[batch, num_classes]`.

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
        x = (images + 1.0) / 2.0  # black, the value of most pixels, becomes 0
        x = nn.relu(nn.Conv(few, (3, 3), padding="VALID")(x))
        x = nn.relu(nn.Conv(many, (3, 3), padding="VALID")(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.Dropout(0.25, deterministic=not train)(x)
        features = nn.relu(nn.Dense(units)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(0.5, deterministic=not train)(features)
        return features, nn.Dense(self.num_classes)(x)
