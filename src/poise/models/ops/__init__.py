"""The ops of layer strings: what may be written, and the module that each makes.

An op is a function ``(site, ...) -> (module, shape)``. ``site`` is where it stands: what comes in, and what was named
before. The rest of its signature says which arguments and options can be written (see :mod:`poise.models.arguments`);
``shape`` is that of a sample that goes out. It makes a new module at every call. What it cannot do it refuses with a
``ShapeError`` or a ``ConfigError``, such as those of :mod:`poise.models.site`. The message continues the op's name, as
in "takes an image (c, h, w)"; the place in the text, and for shapes what comes in, are put to it.

Ops with a filter have the defaults of HyperGAN: ``filter=3 padding=1``, the padding whatever the filter; and for
``deconv`` ``filter=4 stride=2 padding=1``. Where channels may be written and are not, as many go out as come in.
"""

from poise.models.ops.table import OPS

__all__ = ["OPS"]
