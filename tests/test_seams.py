"""Nothing shows where nothing was restored, and restored detail is neither lost nor turned into a false pattern."""

import torch
import torch.nn.functional as F
from conftest import face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from osdface_core import Faces, align_faces, paste_faces


def noise(height: int, width: int) -> torch.Tensor:
    """A photo whose finest detail no interpolation keeps."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 160), st.floats(0, 120), st.floats(8, 300), st.floats(-90, 90)), min_size=1),
    st.sampled_from([64, 100, 128]),
)
def test_crops_pasted_as_they_were_cut_change_nothing(places, size):
    """Of any size, anywhere, overlapping or not, at the edge or beyond it."""
    photo = noise(120, 160)
    found = [face_at(x, y, s, index=n, angle=a) for n, (x, y, s, a) in enumerate(places)]
    crops = align_faces(photo, Faces(tuple(found), 1, 120, 160), size)
    assert (paste_faces(photo, crops).image - photo).abs().max() < 1e-5


def test_pasted_plainly_the_photo_loses_its_finest_detail():
    photo = noise(120, 160)
    crops = align_faces(photo, Faces((face_at(80, 60, 100, angle=10),), 1, 120, 160), 64)
    assert (paste_faces(photo, crops, plain=True).image - photo).abs().max() > 0.1


def test_rounding_to_8_bits_is_no_change():
    photo = noise(120, 160)
    crops = align_faces(photo, Faces((face_at(80, 60, 60, angle=10),), 1, 120, 160))
    rounded = crops.with_images((crops.images * 255).round() / 255)
    assert (paste_faces(photo, rounded).image - photo).abs().max() < 5 / 255


def test_a_part_that_was_edited_is_pasted_and_the_rest_stays_the_photos():
    photo = noise(300, 400)
    crops = align_faces(photo, Faces((face_at(200, 150, 200),), 1, 300, 400))
    images = crops.images.clone()
    images[..., 256:] = 0.5
    result = paste_faces(photo, crops.with_images(images))
    assert torch.allclose(result.image[..., :190], photo[..., :190], atol=1e-5)
    edited = result.image[..., 220:][result.mask[:, None, :, 220:].expand(-1, 3, -1, -1) == 1]
    assert edited.numel() > 5000
    assert (edited - 0.5).abs().max() < 1e-3


def test_a_restored_face_takes_no_noise_from_the_photo():
    photo = 0.5 + (noise(300, 400) - 0.5) / 8
    crops = align_faces(photo, Faces((face_at(200, 150, 100),), 1, 300, 400))
    result = paste_faces(photo, crops.with_images(torch.full_like(crops.images, 0.5)))
    assert (result.image - 0.5).abs()[:, 0][result.mask == 1].max() < 1e-4


def test_a_photos_own_detail_pasted_into_its_reduced_copy_is_that_copy(astronaut):
    """A perfect restoration, which has all of the detail that the reduced photo lost. One sample a pixel aliases."""
    photo = astronaut.pixels
    face = face_at(225, 120, 150, angle=8)
    crops = align_faces(photo, Faces((face,), 1, *photo.shape[2:]))
    reduced = F.avg_pool2d(photo, 4)
    ours, plain = (paste_faces(reduced, crops, plain=plain) for plain in (False, True))
    errors = [
        (result.image - reduced)[:, :, result.mask[0] > 0].square().mean().sqrt() * 255 for result in (ours, plain)
    ]
    assert errors[0] < 1
    assert errors[1] > 3 * errors[0]
