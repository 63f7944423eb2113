"""The two towers: a small residual network for pixels, a small transformer for words, one space of 256 dimensions."""

import torch
from torch import Tensor, nn
from torch.nn import functional

DIMENSION = 256
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MAX_TOKENS = 32
LOOKS = (64, 48)  # sides at which a finished tower sees a picture
_FULL_LOOK = 0.55  # what the first look weighs; 0.5 to 0.6 measured alike


class ImageTower(nn.Module):
    """[batch, 3, 64, 64] normalised pixels -> [batch, 256] unit vectors, from two looks at the picture."""

    shrink: Tensor

    def __init__(self, widths: tuple[int, ...] = (64, 160, 320), depths: tuple[int, ...] = (2, 2, 1)) -> None:
        super().__init__()
        stem = widths[0] // 2
        layers: list[nn.Module] = [
            _convolution(3, stem, 3, 2),
            nn.ReLU(inplace=True),
            _convolution(stem, widths[0], 3, 2),
            nn.ReLU(inplace=True),
        ]
        before = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                layers.append(_Residual(before, width, 2 if stage and block == 0 else 1))
                before = width
        self.features = nn.Sequential(*layers)
        self.centre = nn.BatchNorm1d(before)  # what all pictures share would otherwise drown what tells them apart
        self.project: nn.Linear | Projection = nn.Linear(before, DIMENSION)
        self.register_buffer("shrink", _shrinking(*LOOKS), persistent=False)

    def pooled(self, pixel_values: Tensor) -> Tensor:
        """Features of one look before the projection, [batch, last width]; pixels of any side that 16 divides."""
        centred: Tensor = self.centre(self.features(pixel_values).mean((2, 3)))
        return centred

    def seen(self, pixel_values: Tensor) -> Tensor:
        """Features of [batch, 3, 64, 64]: of the picture as it is and made smaller, [batch, last width].

        The training grew through both sides, and errs differently at each. A copy that was once small differs from its
        original in fine detail, of which the smaller look sees less.
        """
        smaller = self.shrink @ pixel_values @ self.shrink.T
        return _FULL_LOOK * self.pooled(pixel_values) + (1 - _FULL_LOOK) * self.pooled(smaller)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return functional.normalize(self.project(self.seen(pixel_values)), dim=-1)


class Projection(nn.Module):
    """Features [batch, width] -> the space, two parts added: a linear map keeps what is particular to a picture; the
    meanings [concepts, 256] of what is seen in it, each weighted by its likelihood, bring pictures of a kind together.
    """

    def __init__(self, linear: nn.Linear, recognise: nn.Linear, meanings: Tensor) -> None:
        super().__init__()
        self.linear, self.recognise = linear, recognise
        self.meanings = nn.Parameter(meanings)

    def forward(self, features: Tensor) -> Tensor:
        seen: Tensor = self.linear(features) + self.recognise(features).softmax(-1) @ self.meanings
        return seen


class TextTower(nn.Module):
    """[batch, tokens] ids and mask (1 = token, 0 = padding) -> [batch, 256] unit vectors."""

    def __init__(self, vocabulary: int, width: int = 160, layers: int = 1, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(torch.randn(MAX_TOKENS, width) * 0.02)
        self.layers = nn.ModuleList(_Attention(width, heads) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.centre = nn.BatchNorm1d(width)
        self.project = nn.Linear(width, DIMENSION)
        nn.init.normal_(self.embed.weight, std=0.05)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.to(self.place.dtype)
        x = self.embed(input_ids) + self.place[: input_ids.shape[1]]
        bias = ((1.0 - mask) * -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, bias)
        x = self.last(x)
        pooled = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        return functional.normalize(self.project(self.centre(pooled)), dim=-1)


class TwoTowers(nn.Module):
    """Both towers, the learned sharpness of the two losses (logarithms of the factor on the cosine), and a plain
    classifier, which `grow` makes a part of the image tower."""

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.image = ImageTower()
        self.text = TextTower(vocabulary)
        assert isinstance(self.image.project, nn.Linear)
        self.classify = nn.Linear(self.image.project.in_features, classes)
        self.class_sharpness = nn.Parameter(torch.tensor(2.7))
        self.match_sharpness = nn.Parameter(torch.tensor(2.7))

    def grow(self, meanings: Tensor) -> None:
        """From now on what the classifier sees adds to a picture's place in the space: meanings [classes, 256]."""
        assert isinstance(self.image.project, nn.Linear)
        self.image.project = Projection(self.image.project, self.classify, meanings)

    @torch.no_grad()
    def sharpen(self, factor: float) -> None:
        """Make the classifier surer of itself: its scores times `factor`."""
        self.classify.weight *= factor
        self.classify.bias *= factor


class _Residual(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(before, width, 3, stride)
        self.second = _convolution(width, width, 3, 1)
        nn.init.zeros_(self.second[1].weight)  # starts as the identity
        self.short: nn.Module = nn.Identity()
        if before != width:
            self.short = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(), _convolution(before, width, 1, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first(x), inplace=True)
        return functional.relu(self.second(y) + self.short(x), inplace=True)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.mix(self.before(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5 + bias).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.narrow(functional.gelu(self.wide(self.between(x))))


def _shrinking(side: int, smaller: int) -> Tensor:
    """[smaller, side]: S such that S x S^T is x reduced (bilinear, antialiased): a product, which every runtime has."""
    one = torch.eye(side)[None, None]
    return functional.interpolate(one, size=(smaller, side), mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _convolution(before: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width))
