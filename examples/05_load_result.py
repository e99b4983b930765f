"""Load a result: joints in two frames of reference, a mesh, contact intervals.

python examples/05_load_result.py out
"""

from __future__ import annotations

import sys

from closemesh import load


def main(out: str) -> None:
    result = load(out)
    print(result)
    for person in result.people:
        wrist = person.joint_names.index("right_wrist")
        print(person, "right wrist in the camera frame", person.joints("camera")[0, wrist].round(2), "meters")
        print("  mesh in the world frame", person.vertices(0).shape, "triangles", result.faces.shape)
    for pair in result.contacts:
        for contact in pair.contacts:
            seconds = result.times[contact.start], result.times[contact.end]
            print(f"  {contact.part_a} - {contact.part_b}: {seconds[0]:.2f} to {seconds[1]:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "closemesh-example")
