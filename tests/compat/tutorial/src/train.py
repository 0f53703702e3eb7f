import argparse
import os

from azureml.core import Run
from torch import nn, optim

from cifar10 import load
from model import Net

run = Run.get_context()

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_path", type=str, help="the training data")
    parser.add_argument("--learning_rate", type=float, default=0.001)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--batches", type=int, default=2000)
    args = parser.parse_args()
    if args.data_path:
        print("===== DATA =====")
        print("DATA PATH: " + args.data_path)
        print("LIST FILES IN DATA PATH...")
        print(os.listdir(args.data_path))
        print("================")

    images, labels = load(args.data_path or os.environ["TOOLKIT_DATA"], train=True)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=args.learning_rate, momentum=args.momentum)

    running_loss = 0.0
    for i in range(args.batches):
        inputs = images[4 * i : 4 * i + 4].float() / 255
        optimizer.zero_grad()
        loss = criterion(net(inputs), labels[4 * i : 4 * i + 4])
        loss.backward()
        optimizer.step()

        running_loss += loss.item()
        if i % 100 == 99:
            loss = running_loss / 100
            run.log("loss", loss)
            print(f"epoch=1, batch={i + 1:5}: loss {loss:.2f}")
            running_loss = 0.0
    print("Finished Training")
