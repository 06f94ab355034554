"""What a module offers to measures, by conventions and by methods of its own."""

from __future__ import annotations

import lightning.pytorch as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch.activations import activation, properties
from actsearch.errors import MeasureError
from actsearch.measures import Fitted
from actsearch.measures.measure import NEEDS
from actsearch.placement import Placement, Site, find_sites

X, Y = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
PAIRS = list(zip(X.split(4), Y.split(4), strict=True))


class Net(nn.Module):
    """A function and a module as sites; its last linear layer sees (N, 8)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 8)
        self.act = nn.Tanh()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.act(F.relu(self.first(x))))


class Loader:
    """Batches that are no list: a list would be several loaders."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Module(L.LightningModule):
    """A user's own module, with loaders of its own."""

    def __init__(self, batches=PAIRS):
        super().__init__()
        self.net = Net()
        self.given = batches

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return {"loss": loss}

    def train_dataloader(self):
        return Loader(self.given)

    def val_dataloader(self):
        return [Loader(self.given)]


def offered(fitted):
    return {need for need in NEEDS if not fitted.lacking(need)}


ALL = set(NEEDS) - {"views", "second_data", "derivatives", "losses"}


def test_a_classifier_offers_all_but_what_needs_a_method():
    assert offered(Fitted(Module())) == ALL


def test_a_module_alone_offers_its_sites_by_an_example():
    assert offered(Fitted(Net(), example=X)) == {"example", "sites"}
    assert offered(Fitted(Net())) == set()
    assert offered(Fitted(Net(), {"val": PAIRS})) == ALL - {"loss", "labelled_training"}


@pytest.mark.parametrize(
    ("batches", "absent"),
    [
        ([(X, Y.float())], {"labels", "logits", "labelled_training", "loss"}),
        ([(X,)], {"labels", "logits", "labelled_training", "loss"}),
        ([(X, Y + 1)], {"logits", "loss"}),  # class 3 of 3
        ([(X, Y[:, None])], {"labels", "logits", "labelled_training", "loss"}),
    ],
)
def test_labels_are_the_integers_beside_the_input(batches, absent):
    assert offered(Fitted(Module(batches))) == ALL - absent


def test_batches_may_be_mappings():
    class Named(Module):
        def forward(self, pixels, scale=1.0):
            return {"logits": self.net(pixels * scale)}

        def training_step(self, batch):
            return F.cross_entropy(self(batch["pixels"])["logits"], batch["label"])

    fitted = Fitted(Named([{"label": Y, "name": ["a"] * 12, "pixels": X, "scale": 2.0}]))
    assert offered(fitted) == ALL
    logits, labels = fitted.gather("logits", "labels")
    assert torch.equal(labels, Y)
    torch.testing.assert_close(logits, fitted.module.net(2 * X).detach())
    usual = Fitted(Module([{"image": X, "target": Y}]))
    assert offered(usual) >= {"example", "labels", "logits", "embeddings", "sites"}


def test_forward_takes_as_many_parts_as_it_requires():
    class Two(Module):
        def forward(self, x, shift):
            return self.net(x + shift)

    (logits,) = Fitted(Two([(X, torch.ones(12, 1), Y)])).gather("embeddings")
    assert logits.shape == (12, 8)


def test_a_module_says_by_methods_of_its_own_what_conventions_do_not_tell():
    class Own(Module):
        def labels(self, batch):
            return batch["z"]

        def logits(self, batch):
            return self.net(batch["a"])

        def embed(self, x):
            return x[:, :2]

        def views(self, x):
            return x, -x

        def derivatives(self, batch):
            return (self.net(batch["a"]),)

        def losses(self, batch):
            out = self.net(batch["a"])
            return {"one": out.mean(), "other": out.square().mean()}

        def labelled_dataloader(self):
            return Loader([{"a": X[:5], "z": Y[:5]}])

        def second_dataloader(self):
            return Loader([{"a": 3 + X}])

    fitted = Fitted(Own([{"a": X, "z": Y}]))
    assert offered(fitted) == set(NEEDS) - {"loss"}
    assert torch.equal(fitted.gather("embeddings")[0], X[:, :2])
    assert fitted.gather("embeddings", "labels", part="labelled", most=4)[1].tolist() == [
        0,
        1,
        2,
        0,
    ]


def test_attributes_of_those_names_are_no_methods():
    class Own(Module):
        def __init__(self):
            super().__init__()
            self.loss, self.logits, self.embed = nn.CrossEntropyLoss(), 3, nn.Embedding(2, 2)

    assert offered(Fitted(Own())) == ALL


def test_manual_optimisation_has_no_loss_and_a_reason():
    module = Module()
    module.automatic_optimization = False
    assert Fitted(module).lacking("loss") == "it optimises by hand"
    assert Fitted(nn.Linear(1, 1)).lacking("loss") == "there are no train batches"


def test_what_the_modules_own_code_raises_is_the_reason():
    class Broken(Module):
        def forward(self, x):
            raise RuntimeError("a\nb")

    fitted = Fitted(Broken())
    assert fitted.lacking("embeddings") == "RuntimeError: a b"


def test_the_loss_logs_nothing_and_has_a_gradient():
    module = Module()
    loss = Fitted(module).loss(PAIRS[0])
    assert loss.requires_grad
    torch.testing.assert_close(loss, F.cross_entropy(module(PAIRS[0][0]), PAIRS[0][1]))
    assert "log" not in vars(module)


def test_data_come_through_the_transfer_hooks_of_a_data_module():
    class Data(L.LightningDataModule):
        def val_dataloader(self):
            return Loader(PAIRS)

        def on_after_batch_transfer(self, batch, index):
            return 2 * batch[0], batch[1]

    class Bare(Module):
        train_dataloader = L.LightningModule.train_dataloader
        val_dataloader = L.LightningModule.val_dataloader

    fitted = Fitted(Bare(), Data())
    assert torch.equal(fitted.first()[0], 2 * X[:4])
    assert fitted.lacking("loss") == "there are no train batches"


def test_sites_are_seen_with_what_enters_them():
    net = Net()
    first, second = Fitted(net, {"val": [X]}).sites
    assert (first.name, first.activation, second.activation) == ("relu", "relu", "tanh")
    z = net.first(X).detach()
    torch.testing.assert_close(first.inputs, (z,))
    torch.testing.assert_close(second.outputs(), [z.relu().tanh()])
    assert torch.equal(first.derivatives()[0], (z > 0).float())
    assert second.properties == properties(activation("tanh"))


def test_sites_are_found_under_the_same_names_after_a_placement():
    net = Net()
    names = [site.name for site in find_sites(net, X)]
    Placement.uniform("swish", names).apply(net)
    sites = Fitted(net, {"val": [X]}).sites
    assert [site.name for site in sites] == names
    assert {site.activation for site in sites} == {"swish"}
    expected = F.silu(net.first(X)).detach()
    torch.testing.assert_close(sites[0].outputs(), [expected], atol=1e-6, rtol=0)


def test_one_instance_called_twice_is_two_sites():
    class Twice(Net):
        def forward(self, x):
            return self.head(self.act(2 * self.act(self.first(x))))

    net = Twice()
    first, second = Fitted(net, {"val": [X]}).sites
    torch.testing.assert_close(second.inputs, (2 * first.outputs()[0],))
    assert isinstance(net.act, nn.Tanh)


def test_a_marked_site_is_one_however_often_it_runs():
    class Marked(Net):
        def __init__(self):
            super().__init__()
            self.act = Site("tanh")
            self.wide = nn.Linear(8, 9)

        def forward(self, x):
            return self.act(self.wide(self.act(self.first(x))))

    net = Marked()
    (site,) = Fitted(net, {"val": [X]}).sites
    first = net.first(X).detach()
    torch.testing.assert_close(site.inputs, (first, net.wide(first.tanh()).detach()))
    torch.testing.assert_close(site.outputs()[1], site.inputs[1].tanh())
    Placement.uniform("relu", ["act"]).apply(net, X)
    torch.testing.assert_close(net(X), net.wide(net.first(X).relu()).relu())


def test_watching_shares_weights_and_data():
    module = Module()
    module.table = torch.randn(1000)
    model, _ = Fitted(module).watched
    assert model is not module
    assert model.table is module.table
    assert all(a is b for a, b in zip(model.parameters(), module.parameters(), strict=True))


def test_the_example_is_the_modules_own_or_of_training():
    module = Module()
    assert torch.equal(Fitted(module).example, X[:4])
    assert torch.equal(Fitted(module, {"train": [X[:2]], "val": [X]}).example, X[:2])
    assert torch.equal(Fitted(Net(), {"val": [X]}).example, X)
    module.example_input_array = X[:1]
    assert torch.equal(Fitted(module).example, X[:1])
    assert torch.equal(Fitted(module, example=X[:3]).example, X[:3])


def test_an_absent_split_is_told():
    with pytest.raises(MeasureError, match="there are no test batches"):
        Fitted(Module()).gather("labels", part="test")


def test_rows_of_another_distribution_have_scores_whatever_their_labels():
    batches = {"val": PAIRS, "second": [(X, Y + 7), (X[:5],)]}
    fitted = Fitted(Net(), batches)
    (scores,) = fitted.gather("scores", part="second")
    torch.testing.assert_close(scores, fitted.module(torch.cat([X, X[:5]])).detach())
    with pytest.raises(MeasureError, match="its labels are not all from 0 to 2"):
        fitted.gather("logits", part="second")


def test_classes_of_pieces_of_a_row_are_labels_where_a_module_says_so():
    class Pieces(Module):
        def forward(self, x):
            return self.net(torch.cat([x, -x]))

        def labels(self, batch):
            return batch[1].repeat(2)

    (logits,) = Fitted(Pieces()).gather("logits")
    assert logits.shape == (24, 3)

    class Mistaken(Pieces):
        labels = None

    reason = Fitted(Mistaken()).lacking("logits")
    assert reason == "its forward does not return (N, C)"
