"""What Substra opens an owner's data samples with."""

from __future__ import annotations

import deepfake.parallel.idle_threads

import substratools

from federated.owner.tasks import one_line_errors
from federated.samples.fake_data import fake_data
from federated.samples.samples import OwnerData, open_samples


class FacesOpener(substratools.Opener):
    """Data samples of `federated.samples.samples`."""

    def get_data(self, folders: list[str]) -> OwnerData:
        with one_line_errors():
            return open_samples(folders)

    def fake_data(self, n_samples: int) -> OwnerData:
        return fake_data(n_samples)
