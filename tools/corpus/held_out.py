# SPDX-License-Identifier: Apache-2.0
"""Subjects that no style set shows, and the prompts that ask for ten of them.

A style set teaches a look, not subjects: a picture of one of these in the style shows that the style was learnt apart
from its subjects.
"""

HELD_OUT = {
    "airplane", "apple", "banana", "bell", "bicycle", "butterfly", "cactus", "camera", "car", "castle", "cat",
    "crown", "dog", "duck", "elephant", "fire", "fish", "guitar", "hamburger", "heart", "horse", "house", "key",
    "lion", "mushroom", "owl", "penguin", "pizza", "pumpkin", "rocket", "rose", "sailboat", "scissors", "shark",
    "snail", "snowman", "star", "strawberry", "sun", "sunflower", "tractor", "tree", "truck", "turtle", "umbrella",
}  # fmt: skip
PROMPTS = (
    "cat",
    "fire engine",
    "evergreen tree",
    "rocket",
    "banana",
    "house",
    "butterfly",
    "umbrella",
    "guitar",
    "snail",
)
