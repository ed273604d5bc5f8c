from rainbownet import models
from tests.models.shared import batch_norm, conv, count_without_allocating, dense


def convs(inputs, *widths):
    return sum(conv(i, o) for i, o in zip((inputs, *widths), widths, strict=False))


def test_parameters_of_plain_are_those_of_the_document():
    encoder = convs(1, 64, 64, 128, 128, 256, 256, 512, 512)
    decoder = convs(512, 256, 256, 128, 128, 64, 64, 128, 128, 112)
    assert (encoder, decoder) == (4_684_224, 2_673_904)
    assert encoder + decoder == 7_358_128 == count_without_allocating(models.rainbownet_plain)


def test_parameters_of_fusion_are_those_of_the_document():
    # A normalization follows each pair of convolutions, in the decoder the first three.
    norms = [sum(map(batch_norm, widths)) for widths in ((64, 128, 256, 512), (512, 256, 128))]
    encoder = convs(1, 64, 64, 128, 128, 256, 256, 512, 512) + norms[0]
    fusion = conv(512 + 1000, 512, size=1)
    decoder = convs(512, 512, 512, 256, 256, 128, 128, 64, 64, 128, 128, 128, 112) + norms[1]
    assert (encoder, fusion, decoder) == (4_688_064, 774_656, 7_544_688)
    assert encoder + fusion + decoder == 13_007_408 == count_without_allocating(models.rainbownet_fusion)
    without = count_without_allocating(lambda: models.rainbownet_fusion(embedding=None))
    assert encoder + decoder == 12_232_752 == without


def test_parameters_of_the_baseline_are_those_of_the_document():
    pixels = 224 * 224
    parts = dense(pixels, 224) + dense(224, 2 * pixels)
    assert parts == 33_818_848 == count_without_allocating(models.rainbownet_baseline)
