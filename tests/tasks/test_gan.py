import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

import actsearch
from actsearch import Placement
from actsearch.errors import InvalidValueError
from actsearch.task import laws
from actsearch_tasks.data.images import load_digits
from actsearch_tasks.gan import GAN
from actsearch_tasks.gan.features import classes_covered, distances
from actsearch_tasks.gan.networks import Discriminator, Generator


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


VARIANTS = [{}, {"loss": "hinge", "discriminator_norm": "none", "ema": 0.0, "latent": 5}]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of a few digits, in three colours."""
    digits = load_digits()
    images = (255 * digits.x[:300]).astype(np.uint8).repeat(3, 1).transpose(0, 2, 3, 1)
    path = tmp_path_factory.mktemp("own") / "own.npz"
    np.savez(path, images=images, labels=digits.y[:300])
    return str(path)


class TestGAN(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return GAN

    @pytest.fixture
    def small(self, own):
        return {"data": own, "width": 4, "latent": 8, "batch_size": 32}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def built(activation="", seed=0, **options):
    task = laws.build_task(GAN, options, seed)
    if activation:
        sites = actsearch.find_sites(task, task.example_input_array)
        Placement.uniform(activation, sites).apply(task)
    return task


@pytest.mark.long
@pytest.mark.claim
def test_samples_come_near_and_relu_is_silent_in_half_of_the_generator():
    before = float(built().figures("val", {})["frechet"])

    def trained(activation, epochs):
        run = laws.trainer(epochs, check_val_every_n_epoch=epochs, num_sanity_val_steps=0)
        run.fit(built(activation))
        return {name: float(value) for name, value in run.callback_metrics.items()}

    leaky, relu = trained("", 10), trained("relu", 2)
    assert leaky["val_frechet_floor"] < leaky["val_frechet"] < 0.25 * before
    assert leaky["val_feature_accuracy"] > 0.95
    for layer in (1, 2):
        assert 0.4 < relu[f"val_sparsity/generator.activation_{layer}"] < 0.6
        assert leaky[f"val_sparsity/generator.activation_{layer}"] == 0
        assert leaky[f"val_sparsity/discriminator.activation_{layer}"] == 0


def test_sites_are_two_layers_of_each_network(own):
    task = built()
    names = [f"{part}.activation_{n}" for part in ("generator", "discriminator") for n in (1, 2)]
    assert [s.name for s in actsearch.find_sites(task) if not s.protected] == names
    images, logits = task(torch.randn(3, 32))
    assert (images.shape, logits.shape) == ((3, 1, 8, 8), (3, 1))
    assert 0 < float(images.detach().min()) < float(images.detach().max()) < 1
    assert built(data=own)(torch.randn(2, 32))[0].shape == (2, 3, 8, 8)


def test_spectral_normalisation_holds_every_layer_at_one():
    network = Discriminator((1, 8, 8), 8, "spectral")
    for layer in (network.conv_1, network.conv_2, network.linear):
        for _ in range(30):  # steps of the power iteration
            weight = layer.weight
        values = torch.linalg.svdvals(weight.flatten(1))
        assert float(values[0].detach()) == pytest.approx(1, abs=0.02)


def test_what_is_left_is_the_average_that_was_judged(own):
    task = built(data=own, width=4, ema=0.9)
    logged = laws.fit(task, 2)
    after = task.figures("val", {})
    assert float(after["frechet"]) == pytest.approx(logged["val_frechet"], rel=1e-4)
    following = built(data=own, width=4, ema=0.0)
    logged = laws.fit(following, 2)
    assert float(following.figures("val", {})["frechet"]) == pytest.approx(
        logged["val_frechet"], rel=1e-4
    )


class Judge(nn.Module):
    """A discriminator that takes the mean for its logit."""

    def forward(self, images):
        return images.mean((1, 2, 3))[:, None]


def test_losses_are_those_of_the_formulas(own):
    images, samples = torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8)
    real, fake = images.mean((1, 2, 3)), samples.mean((1, 2, 3))
    task = built()
    task.discriminator = Judge()
    expected = -(real.sigmoid().log() + (1 - fake.sigmoid()).log()).mean()
    torch.testing.assert_close(task.discriminator_loss(images, samples), expected)
    torch.testing.assert_close(task.generator_loss(samples), -fake.sigmoid().log().mean())
    task = built(loss="hinge")
    task.discriminator = Judge()
    torch.testing.assert_close(task.discriminator_loss(images, samples), (2 - real + fake).mean())
    torch.testing.assert_close(task.generator_loss(samples), -fake.mean())


def test_each_step_moves_its_own_network_and_tells_the_gradient_of_one_sample(own):
    task = built(data=own, width=4, batch_size=8)
    told = []
    task.log = lambda name, value, **_: told.append(float(value))
    task.on_fit_start()
    optimizers = task.configure_optimizers()
    task.optimizers = lambda: optimizers
    task.manual_backward = lambda loss, *given: loss.backward(*given)
    before = [p.detach().clone() for p in task.discriminator.parameters()]
    latents = []
    task._latents = lambda images: latents.append(torch.randn(len(images), 32)) or latents[-1]
    twin = built(data=own, width=4, batch_size=8)
    task.training_step(next(iter(task.train_dataloader())), 0)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, task.discriminator.parameters(), strict=True)
    )
    twin.discriminator.load_state_dict(task.discriminator.state_dict())
    samples = twin.generator(latents[0]).detach().requires_grad_()
    each = []
    for one in samples.split(1):
        (gradient,) = torch.autograd.grad(twin.generator_loss(one), one)
        each.append(float(gradient.norm()))
    assert told == [pytest.approx(sum(each) / len(each), rel=1e-2)]


def test_distances_are_those_of_their_definitions():
    draws = torch.Generator().manual_seed(0)
    real, samples = (torch.rand(80, 2, generator=draws) * high for high in (1.0, 0.7))
    x, y = real.double().numpy(), samples.double().numpy()
    a, b = np.cov(x.T), np.cov(y.T)
    root = sqrtm(a @ b).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    frechet, kernel = distances(real, samples)
    assert float(frechet) == pytest.approx(expected, rel=1e-4)

    def mean_kernel(p, q, same):
        k = (p @ q.T / 2 + 1) ** 3
        return (k.sum() - same * np.trace(k)) / (len(p) * (len(q) - same))

    expected = mean_kernel(x, x, 1) + mean_kernel(y, y, 1) - 2 * mean_kernel(x, y, 0)
    assert float(kernel) == pytest.approx(expected, rel=1e-3)


def test_classes_are_counted_as_far_as_they_are_covered():
    assert float(classes_covered(torch.eye(10))) == pytest.approx(10)
    assert float(classes_covered(torch.eye(10)[[3, 3]])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "iris"}, "data must be images, but iris has rows of 4 values"),
        ({"data": "digits", "image_shape": (1, 4, 15)}, "image_shape must fit inputs of shape"),
        ({"data": "digits", "image_shape": (1, 2, 32)}, "multiples of 4, but got 2×32"),
    ],
)
def test_data_that_do_not_fit_get_one_line(options, message):
    with pytest.raises(InvalidValueError, match=message) as caught:
        GAN(**options)
    assert "\n" not in str(caught.value)


def test_images_of_any_multiple_of_four():
    assert Generator(3, 4, (3, 12, 20))(torch.randn(2, 3)).shape == (2, 3, 12, 20)
