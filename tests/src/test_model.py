import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here: it lives in a run's environment")

from model import Net  # noqa: E402


def test_net_has_the_parameters_of_the_tutorial():
    shapes = {name: tuple(tensor.shape) for name, tensor in Net().state_dict().items()}
    assert shapes == {
        "conv1.weight": (6, 3, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }
    assert sum(tensor.numel() for tensor in Net().parameters()) == 62_006


@pytest.mark.parametrize("size", [1, 4, 7])
def test_net_gives_ten_logits_an_image(size):
    assert Net()(torch.rand(size, 3, 32, 32)).shape == (size, 10)


def test_net_takes_any_memory_format():
    images, net = torch.rand(4, 3, 32, 32), Net()
    expected = net(images)
    actual = net.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected)


def test_net_refuses_images_of_another_size():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Net()(torch.rand(4, 3, 64, 64))


def test_every_parameter_learns():
    net = Net()
    torch.nn.functional.cross_entropy(net(torch.rand(4, 3, 32, 32)), torch.arange(4)).backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in net.parameters())
