"""What `poise train digits` makes are digits: judged by a classifier that was trained on the real ones."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from poise.data import load
from poise.runs import Run
from poise.session import Sampler


@pytest.mark.slow
def test_the_first_command_makes_digits(tmp_path: Path) -> None:
    """Of 1,000 samples every class has at least 3 %, and the mean top probability is at least 0.85."""
    directory = tmp_path / "run"
    environment = {**os.environ, "POISE_CACHE": str(tmp_path / "cache")}
    train = [sys.executable, "-m", "poise", "train", "digits", "--run", str(directory)]
    subprocess.run(train, env=environment, check=True)
    digits = load("digits")
    images = digits.array.reshape(len(digits), -1) / 255
    seen, held_out, labels, held_out_labels = train_test_split(
        images, digits.labels, test_size=0.3, random_state=0, stratify=digits.labels
    )
    classifier = CalibratedClassifierCV(SVC(C=10), ensemble=False).fit(seen, labels)
    assert classifier.score(held_out, held_out_labels) >= 0.95
    samples = Sampler(Run(directory)).sample(1000).reshape(1000, -1) / 255
    probabilities = classifier.predict_proba(samples)
    shares = np.bincount(probabilities.argmax(1), minlength=10) / 1000
    print(f"classes {shares}, top probability {probabilities.max(1).mean():.3f}")
    assert shares.min() >= 0.03
    assert probabilities.max(1).mean() >= 0.85
