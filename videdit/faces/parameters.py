"""The numbers of this room that shape a result, as plain values for a stage's key.

Every class is frozen and ``dataclasses.asdict`` makes plain JSON of it. Functions of the room take
the one that they need, :data:`DEFAULT`'s unless told otherwise. They are grouped by the step that
they act in, so that a changed number makes that step and those after it anew and nothing before.
Constants that belong to a network or to a published recipe are not here: they change with the
weights or never. Distances are in inter-ocular distances
(:func:`videdit.faces.detection.inter_ocular`) where nothing else is said.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mesh:
    """How the backend ``mesh`` finds and accepts faces.

    Attributes:
        detector_threshold: a candidate must reach this score in the detector ...
        mesh_threshold: ... and this probability of being a face in the mesh network, on its second
            look.
        first_look_threshold: a candidate below this on the first look gets no second one.
        overlap_threshold: candidates whose boxes overlap more (intersection over union) are one
            face.
        region_scale: side of the mesh's region over the longer side of the face's box.
        tiles: parts of the frame's long side that are a tile's side, coarser first; looked at only
            while no face is found.
        tile_density: tiles begin at least this often in a tile's side; neighbours overlap by a
            third.
        sure: where no face reaches this score the frame is looked at turned as well ...
        turned_margin: ... and a face that is found so must be better by this.
        smallest_tile: side in pixels; finer ones would only enlarge the picture.
    """

    detector_threshold: float = 0.5
    mesh_threshold: float = 0.5
    first_look_threshold: float = 0.1
    overlap_threshold: float = 0.3
    region_scale: float = 1.5
    tiles: tuple[int, ...] = (2, 4)
    tile_density: float = 1.5
    sure: float = 0.8
    turned_margin: float = 0.05
    smallest_tile: int = 192


@dataclass(frozen=True)
class Fan:
    """How the backend ``fan`` finds and accepts faces.

    Attributes:
        score_threshold: a face must reach this score in S3FD (the library's own default).
        detection_side: longer side in pixels of the picture that S3FD looks at; it finds 16-pixel
            faces there.
        face_side: longest side in pixels of a face's box that FAN is given: it works at 256 / 1.5.
        surroundings: half side of the region around a face over its box's longer side.
    """

    score_threshold: float = 0.5
    detection_side: int = 640
    face_side: int = 300
    surroundings: float = 1.5


@dataclass(frozen=True)
class Flow:
    """How landmarks are followed from one frame to the next (:mod:`videdit.faces.flow`).

    Attributes:
        face_height: pixels that the points may span where the flow is computed.
        closure: by how much forward and back again may miss.
        window: side of the window that is compared.
        least_window: the same in pixels, where the face is small.
        levels: of the pyramid above the picture itself.
        iterations, precision: where the search for a point ends, the latter in pixels.
    """

    face_height: int = 256
    closure: float = 0.02
    window: float = 0.25
    least_window: int = 7
    levels: int = 3
    iterations: int = 20
    precision: float = 0.01


@dataclass(frozen=True)
class Detecting:
    """What decides the faces of single frames and the flow to the next. ``mesh`` acts with the
    backend of that name alone, so does ``fan``."""

    mesh: Mesh = Mesh()
    fan: Fan = Fan()
    flow: Flow = Flow()


@dataclass(frozen=True)
class Tracking:
    """Which faces of neighbouring frames are one person's (:mod:`videdit.faces.tracking`).

    Attributes:
        max_gap_s: a face that is lost for longer starts a new track, seconds.
        max_size_ratio: from one detection to the next a face grows or shrinks by no more.
        min_overlap: its boxes overlap by at least this (intersection over union).
        base_distance, speed, max_distance: its landmarks move by at most ``base_distance + speed *
            seconds`` in the mean, never by more than ``max_distance``.
        spurious_s, spurious_score: a track is dropped if it is shorter than ``spurious_s``, shorter
            than half its shot, and its mean score is below ``spurious_score``.
    """

    max_gap_s: float = 0.3
    max_size_ratio: float = 1.6
    min_overlap: float = 0.1
    base_distance: float = 0.5
    speed: float = 4.0
    max_distance: float = 1.5
    spurious_s: float = 0.25
    spurious_score: float = 0.75


@dataclass(frozen=True)
class Choosing:
    """Which tracks ``--face largest`` and ``--face like:`` take (:mod:`videdit.faces.choice`).

    Attributes:
        same_size: a track that goes on with a person is at least this large, their first one being
            1.
        same_person: the cosine between the descriptors of a track and of a picture, from which they
            show the same person. None of 3 321 pairs of different people reaches it.
        looks: frames of a track that are looked at for that.
    """

    same_size: float = 0.5
    same_person: float = 0.63
    looks: int = 4


@dataclass(frozen=True)
class Stabilising:
    """How far landmarks are carried along the flow (:func:`videdit.faces.flow.stabilise`).

    Attributes:
        memory_s: seconds over which the trust in a still face's flow falls to 1/e.
        trusted_speed: speed, per second, at which that trust fades twice as fast.
        trusted_error: difference of flow and landmarker in one step at which the trust drops to
            exp(-1/2) at once. The landmarker's own noise, around 0.01, costs next to nothing.
        reach_s: frames further away than this, in seconds, are left out. At ten times ``memory_s``
            the trust is at most exp(-10) = 5e-5.
    """

    memory_s: float = 0.1
    trusted_speed: float = 1.75
    trusted_error: float = 0.05
    reach_s: float = 1.0


@dataclass(frozen=True)
class Smoothing:
    """Standard deviations of the smoothing over time (:mod:`videdit.faces.smoothing`), seconds.

    Attributes:
        landmark_sigma_s: of landmarks (about one frame at 30 fps).
        quad_sigma_s: of the crop's corners.
        reach: standard deviations after which a weight (3e-4) is left out.
    """

    landmark_sigma_s: float = 0.03
    quad_sigma_s: float = 0.12
    reach: float = 4.0


@dataclass(frozen=True)
class CropSizes:
    """Which side the crops of a track have (:func:`videdit.faces.align.resolution_for`).

    Attributes:
        sizes: the sides to choose from, pixels, smallest first. The largest is the generator's: the
            frame's own pixels are changed at its resolution, and only generated ones are no finer.
        least: a crop has at least this part of the quad's own pixels, if it can; that loses no
            visible detail.
    """

    sizes: tuple[int, ...] = (256, 512)
    least: float = 0.85


@dataclass(frozen=True)
class Aligning:
    """What decides, of faces in tracks, which are edited and where their crops lie."""

    choosing: Choosing = Choosing()
    stabilising: Stabilising = Stabilising()
    smoothing: Smoothing = Smoothing()
    sizes: CropSizes = CropSizes()


@dataclass(frozen=True)
class Removing:
    """What a reconstruction must show to be rid of it, as a share of the crop. Seen on 31 portraits
    and two clips: glasses take 0.05 to 0.08 of it, and 0.004 at most where nobody wears any.

    Attributes:
        glasses, beard: of these regions.
    """

    glasses: float = 0.01
    beard: float = 0.0005


@dataclass(frozen=True)
class FaceParameters:
    """All of the room's.

    Attributes:
        detecting: for what is found in single frames.
        tracking: for how those are linked.
        aligning: for the table of faces to edit.
        removing: for edits that take something away.
    """

    detecting: Detecting = Detecting()
    tracking: Tracking = Tracking()
    aligning: Aligning = Aligning()
    removing: Removing = Removing()


DEFAULT = FaceParameters()
