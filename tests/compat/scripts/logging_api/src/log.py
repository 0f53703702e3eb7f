import os
import struct
import zlib

from azureml.core.run import Run


def png(path):
    """One grey pixel."""

    def chunk(kind, data):
        content = kind + data
        return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")))
        file.write(chunk(b"IEND", b""))


run = Run.get_context()
run.log(name="scalar", value=3, description="once")
for value in (0.0, 0.5, 1.0):
    run.log("curve", value)
run.log_list("list", [1, 2, 3])
for x in range(2):
    run.log_row("row", x=x, y=x * x)
run.log_table("table", {"angle": [0, 1], "sine": [0.0, 0.8]})
png("image.png")
run.log_image(name="image", path="image.png")
run.tag("quality", "good")
run.tag("late", 1)
run.add_properties({"author": "me"})
os.makedirs("outputs", exist_ok=True)
with open("outputs/kept.txt", "w") as file:
    file.write("kept")
run.upload_file(name="named/file.txt", path_or_stream="outputs/kept.txt")
run.upload_folder(name="folder", path="outputs")
run.flush()
