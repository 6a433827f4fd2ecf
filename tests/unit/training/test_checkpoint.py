import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nrw.training import checkpoint


def network_and_optimizer(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    frozen = network[0].bias.requires_grad_(False)
    assert not frozen.requires_grad
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.1, fused=True)
    return network, optimizer


def train(network, optimizer, steps):
    for step in range(steps):
        optimizer.zero_grad()
        network(torch.full((2, 2, 5, 5), 1.0 + step) * torch.arange(5)).square().mean().backward()
        optimizer.step()


def test_going_on_from_a_checkpoint_is_going_on(tmp_path):
    network, optimizer = network_and_optimizer(0)
    train(network, optimizer, 3)
    checkpoint.save(tmp_path, "a", 3, {"network": network}, {"adam": optimizer}, {"sum": 0.1 + 0.2, "rows": [{"x": 1}]})
    train(network, optimizer, 3)
    other, other_optimizer = network_and_optimizer(1)
    found = checkpoint.restore(tmp_path, "a", {"network": other}, {"adam": other_optimizer})
    assert found == (3, {"sum": 0.1 + 0.2, "rows": [{"x": 1}]})
    train(other, other_optimizer, 3)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_left_alone_with_a_word(tmp_path, caplog):
    network, optimizer = network_and_optimizer(0)
    parts = {"network": network}, {"adam": optimizer}
    assert checkpoint.restore(tmp_path, "a", *parts) is None
    checkpoint.save(tmp_path, "a", 3, *parts, {})
    assert checkpoint.restore(tmp_path, "b", *parts) is None
    assert "another configuration" in caplog.text
    file = tmp_path / checkpoint.FILE
    file.write_bytes(file.read_bytes()[:-20])
    assert checkpoint.restore(tmp_path, "a", *parts) is None
    assert "damaged" in caplog.text
    save_file({"x": torch.zeros(1)}, file)  # a safetensors file that is no checkpoint
    assert checkpoint.restore(tmp_path, "a", *parts) is None


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    network, optimizer = network_and_optimizer(0)
    checkpoint.save(tmp_path, "a", 3, {"network": network}, {"adam": optimizer}, {})

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, "a", 4, {"network": network}, {"adam": optimizer}, {})
    assert checkpoint.restore(tmp_path, "a", {"network": network}, {"adam": optimizer})[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]


def test_content_hash_sees_names_and_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    first = checkpoint.content_hash(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    assert checkpoint.content_hash(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = checkpoint.content_hash(tmp_path)
    (tmp_path / "b").write_bytes(b"2")
    assert len({first, renamed, checkpoint.content_hash(tmp_path)}) == 3
