"""Signatures: signing and verifying with OpenSSF model-signing, storing, and enforcing before a version is loaded."""

import json
import sys
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from model_signing import verifying

from llmos.core.config import load_settings
from llmos.core.errors import BadModelFile, BadRequest, Conflict, NotFound, UntrustedModel
from llmos.core.progress import no_progress
from llmos.models import open_registry, queries
from llmos.models.encrypting import encrypt_models
from llmos.models.policies import REQUIRE_SIGNATURE, Policies
from llmos.models.signing import signing as signing_module
from llmos.models.signing.enforcement import open_signature_enforcer
from llmos.models.signing.signing import MANIFEST_NAME, STATEMENT_NAME, Signing
from llmos.models.signing.trusted_keys import TrustedKeys
from llmos.models.transfer.archive import write_archive
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.records import digest_of_record, record_of, statement_of

pytestmark = pytest.mark.process


def write_key(path: Path, key=None, password=None) -> Path:
    key = key or ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    return path


def public_half(path: Path) -> Path:
    key = serialization.load_pem_private_key(path.read_bytes(), None).public_key()
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return public


@pytest.fixture
def key(tmp_path):
    return write_key(tmp_path / "ada.pem")


@pytest.fixture
def other_key(tmp_path):
    return write_key(tmp_path / "eve.pem")


@pytest.fixture
def signing(registry, settings):
    return Signing(registry, TrustedKeys(settings.trusted_keys_path))


@pytest.fixture
def tiny(registry, make_folder):
    """A version of several files, one of them in a subfolder."""
    folder = make_folder()
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    return Transfers(registry).import_path(folder, "tiny")


def spoil(registry, version, name):
    """Overwrite the blob of a file."""
    path = registry.files(version)[name]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(b"!" + content[1:])


# Signing and verifying


def test_a_signed_version_is_verified_by_a_trusted_key(signing, tiny, key):
    signed = signing.sign("tiny", key)
    trusted = signing.trusted.add("ada", public_half(key))
    verified = signing.verify("tiny@1")
    assert (verified.version, verified.key, signed.key.fingerprint) == (tiny, trusted, trusted.fingerprint)


def test_a_signature_holds_whether_the_version_is_encrypted_or_not(registry, settings, signing, tiny, key):
    signing.trusted.add("ada", public_half(key))
    signing.sign("tiny", key)
    before = registry.signatures.get(tiny)
    encrypt_models(registry, "tiny")
    assert signing.verify("tiny").version == tiny
    Policies(registry.database).set(REQUIRE_SIGNATURE, True)
    open_signature_enforcer(settings, registry).check("tiny@1")
    signing.sign("tiny", key)
    assert len(registry.signatures.get(tiny)) == len(before) + 1
    files = {name: path.read_bytes() for name, path in registry.files(tiny).items()}
    for name, path in registry.files(tiny).items():  # back to what a store has without encryption
        Path(str(path).removesuffix(".sealed")).write_bytes(files[name])
        path.unlink()
    assert signing.verify("tiny").version == tiny


def test_an_encrypted_version_with_other_bytes_than_were_signed_is_refused(registry, signing, tiny, key):
    signing.trusted.add("ada", public_half(key))
    signing.sign("tiny", key)
    encrypt_models(registry, "tiny")
    path = registry.files(tiny)["config.json"]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BadModelFile, match=r"config.json holds other bytes"):
        signing.verify("tiny")


def test_a_version_is_verified_by_a_given_key_that_is_not_trusted(signing, tiny, key, other_key):
    signing.sign("tiny", key)
    assert signing.verify("tiny", public_half(key)).version == tiny
    assert signing.verify("tiny", key).version == tiny
    with pytest.raises(UntrustedModel, match=r"signed by the key [0-9a-f]{12}…: .*eve\.pub is another key"):
        signing.verify("tiny", public_half(other_key))


def test_an_unsigned_or_untrusted_version_is_reported_with_the_next_command(signing, tiny, key):
    with pytest.raises(UntrustedModel, match=r"tiny@1 isn't signed.*llmos sign tiny@1 --key FILE"):
        signing.verify("tiny")
    signing.sign("tiny", key)
    with pytest.raises(UntrustedModel, match=r"no key that is trusted here.*llmos trust add NAME FILE"):
        signing.verify("tiny")


@pytest.mark.parametrize("name", ["model.safetensors", "1_Pooling/config.json"])
def test_a_digest_that_does_not_match_names_the_file(registry, signing, tiny, key, name):
    signing.trusted.add("ada", key)
    signing.sign("tiny", key)
    spoil(registry, tiny, name)
    with pytest.raises(BadModelFile, match=rf"tiny@1 is damaged: {name} holds other bytes \(sha256:.*import:"):
        signing.verify("tiny")
    with pytest.raises(BadModelFile, match=name):
        signing.sign("tiny", key)


def test_a_missing_file_of_an_unsigned_version_is_named(registry, signing, tiny):
    registry.files(tiny)["config.json"].unlink()
    with pytest.raises(BadModelFile, match=r"config\.json is missing"):
        signing.verify("tiny")


def test_a_signature_covers_the_recipe(registry, signing, tiny, key, tmp_path, tiny_gguf):
    """The signature of a version is invalid for another version with the same files but another recipe."""

    def make(recipe):
        path = tmp_path / "made.gguf"
        path.unlink(missing_ok=True)
        path.write_bytes(tiny_gguf)
        return registry.derived.add("tiny-4", {"model.gguf": path}, parent=tiny, recipe=recipe)

    one, two = make({"bits": 4}), make({"bits": 8})
    signing.trusted.add("ada", key)
    signing.sign(one.ref, key)
    registry.signatures.put(two, registry.signatures.get(one)[0])
    assert signing.verify(one.ref).version == one
    reason = rf"tiny-4@2 is not what was signed: The signature of the key ada is invalid: .*{MANIFEST_NAME}"
    with pytest.raises(UntrustedModel, match=reason):
        signing.verify(two.ref)


@pytest.mark.parametrize("place", ["payload", "sig"])
def test_a_modified_signature_is_invalid(registry, signing, tiny, key, place):
    signing.trusted.add("ada", key)
    signing.sign("tiny", key)
    bundle = json.loads(registry.signatures.get(tiny)[0])
    envelope = bundle["dsseEnvelope"]
    holder = envelope if place == "payload" else envelope["signatures"][0]
    changed = holder[place][:40] + ("A" if holder[place][40] != "A" else "B") + holder[place][41:]
    holder[place] = changed
    forged = open_registry(load_settings({"LLMOS_HOME": str(registry.store.path.parent / "other")}))
    twin = Transfers(forged).import_path(Path(tiny.source.removeprefix("import:")), "tiny")
    forged.signatures.put(twin, json.dumps(bundle))
    with pytest.raises(UntrustedModel, match="is not what was signed: The signature of the key ada is invalid"):
        Signing(forged, signing.trusted).verify("tiny")
    forged.database.close()


def test_model_signing_itself_verifies_a_signature(registry, signing, tiny, key, tmp_path):
    signing.sign("tiny", key)
    folder, signature = tmp_path / "taken out", tmp_path / "tiny.sig"
    for name, path in registry.files(tiny).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(path.read_bytes())
    (folder / MANIFEST_NAME).write_bytes(registry.manifest(tiny).canonical())
    (folder / STATEMENT_NAME).write_bytes(statement_of(tiny))
    signature.write_text(registry.signatures.get(tiny)[0])
    theirs = verifying.Config().use_elliptic_key_verifier(public_key=public_half(key))
    theirs.verify(folder, signature)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json"):
        theirs.verify(folder, signature)


# Keeping


def test_a_signature_is_stored_once_and_by_digest(registry, signing, tiny, key):
    signing.sign("tiny", key)
    (signature,) = registry.signatures.get(tiny)
    registry.signatures.put(tiny, signature)
    twin = Transfers(registry).import_path(Path(tiny.source.removeprefix("import:")), "twin")
    assert registry.signatures.get(twin) == [signature]
    registry.remove("tiny")
    assert registry.signatures.get(twin) == [signature]


def test_signatures_travel_with_their_version(registry, signing, tiny, key, tmp_path):
    signing.sign("tiny", key)
    archive = Transfers(registry).export("tiny", tmp_path / "tiny.llmos.tar")
    settings = load_settings({"LLMOS_HOME": str(tmp_path / "elsewhere")})
    there = open_registry(settings)
    arrived = Transfers(there).import_path(archive)
    trusted = TrustedKeys(settings.trusted_keys_path)
    trusted.add("ada", public_half(key))
    assert Signing(there, trusted).verify(arrived.ref).key.name == "ada"
    there.database.close()


CLAIMS = {"license": "proprietary", "sampling": {"temperature": 2.0}, "made_by": "mallory"}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_signature_covers_what_the_version_says_of_itself(registry, signing, tiny, key, tmp_path, claim):
    """Whoever passes on an archive can compute its digests anew, but not the signature of a key that is trusted."""
    signing.sign("tiny", key)
    honest = record_of(tiny, registry.signatures.get(tiny))
    changed = msgspec.structs.replace(honest, **{claim: CLAIMS[claim]})
    changed = msgspec.structs.replace(changed, record_digest=digest_of_record(changed))
    archive = tmp_path / "changed.llmos.tar"
    write_archive(changed, registry.files(tiny), archive, no_progress)
    settings = load_settings({"LLMOS_HOME": str(tmp_path / "elsewhere")})
    there = open_registry(settings)
    TrustedKeys(settings.trusted_keys_path).add("ada", public_half(key))
    with pytest.raises(UntrustedModel, match=rf"tiny is not what was signed: .*{STATEMENT_NAME}.*Nothing was stored"):
        Transfers(there).import_path(archive)
    assert (there.list(), [*there.store.digests()]) == ([], [])
    there.database.close()


def test_a_version_whose_statement_was_changed_is_not_what_was_signed(registry, signing, tiny, key):
    signing.trusted.add("ada", key)
    signing.sign("tiny", key)
    with registry.database.transaction() as session:
        queries.version(session, "tiny", 1).license = "proprietary"
    with pytest.raises(UntrustedModel, match=STATEMENT_NAME):
        signing.verify("tiny")


def test_the_policy_notices_a_changed_statement_of_a_verified_version(registry, settings, signing, tiny, key):
    signing.trusted.add("ada", key)
    signing.sign("tiny", key)
    Policies(registry.database).set(REQUIRE_SIGNATURE, True, actor="ada")
    enforcer = open_signature_enforcer(settings, registry)
    enforcer.check("tiny")
    with registry.database.transaction() as session:
        queries.version(session, "tiny", 1).sampling = {"temperature": 2.0}
    with pytest.raises(UntrustedModel, match=STATEMENT_NAME):
        enforcer.check("tiny")


def test_an_older_signature_without_statement_is_valid_and_says_so(registry, signing, tiny, key, monkeypatch):
    monkeypatch.setattr(signing_module, "_folder", partial(signing_module._folder, covers_statement=False))
    signing.sign("tiny", key)
    monkeypatch.undo()
    signing.trusted.add("ada", key)
    assert signing.verify("tiny").covers_statement is False
    signing.sign("tiny", key)
    assert signing.verify("tiny").covers_statement is True


def test_a_version_with_an_invalid_signature_is_refused(registry, tiny, tmp_path):
    there = open_registry(load_settings({"LLMOS_HOME": str(tmp_path / "elsewhere")}))
    for files in registry.files(tiny).values():
        there.store.add(files)
    record = record_of(tiny, ["no bundle"])
    with pytest.raises(BadModelFile, match="signature"):
        Transfers(there).accept(record, "tiny", "test")
    assert there.list() == []
    there.database.close()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"verificationMaterial": {"publicKey": {"hint": 7}}}', "9" * 5_000_000]
)
def test_an_invalid_signature_is_not_stored(registry, tiny, text):
    with pytest.raises(BadModelFile, match="signature"):
        registry.signatures.put(tiny, text)
    assert registry.signatures.get(tiny) == []


def test_the_number_of_signatures_is_limited(registry, tiny):
    def bundle(number):
        return json.dumps({"verificationMaterial": {"publicKey": {"hint": f"{number}"}}})

    for number in range(32):
        registry.signatures.put(tiny, bundle(number))
    registry.signatures.put(tiny, bundle(5))
    with pytest.raises(BadModelFile, match="32 signatures, which is the limit"):
        registry.signatures.put(tiny, bundle(99))


# Keys


def test_trusted_keys_are_added_and_removed(signing, key, other_key):
    ada = signing.trusted.add("ada", key)
    assert signing.trusted.add("ada", public_half(key)) == ada
    assert b"PRIVATE" not in ada.pem
    with pytest.raises(Conflict, match="llmos trust rm ada"):
        signing.trusted.add("ada", other_key)
    assert signing.trusted.list() == [ada]
    with pytest.raises(NotFound, match=r"Trusted keys: ada\."):
        signing.trusted.remove("adda")
    signing.trusted.remove("ada")
    assert signing.trusted.list() == []


def test_an_unsuitable_key_is_refused_with_how_to_make_one(signing, tiny, key, tmp_path):
    text = tmp_path / "text"
    text.write_text("hello")
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    cases = [
        (tmp_path / "nowhere", "No such file"),
        (tmp_path, "Is a directory"),
        (text, "is not a private key"),
        (public_half(key), "is not a private key"),
        (broken, "not a key in PEM format"),
        (write_key(tmp_path / "rsa", rsa.generate_private_key(65537, 2048)), "another type"),
        (write_key(tmp_path / "curve", ec.generate_private_key(ec.SECP256K1())), "another type"),
        (write_key(tmp_path / "locked", password=b"secret"), "encrypted with a password"),
    ]
    for path, reason in cases:
        with pytest.raises(BadRequest, match=rf"{reason}.*openssl"):
            signing.sign("tiny", path)
    with pytest.raises(BadRequest, match="not a key in PEM format"):
        signing.trusted.add("text", text)
    with pytest.raises(BadRequest, match="not a valid name for a key"):
        signing.trusted.add("../ada", key)


# Before it is loaded


@pytest.fixture
def guard(registry, settings):
    return open_signature_enforcer(settings, registry)


def test_without_the_policy_no_signature_is_required(guard, tiny):
    guard.check("tiny@1")


def test_with_the_policy_only_versions_signed_by_a_trusted_key_are_loaded(registry, guard, signing, tiny, key):
    Policies(registry.database).set("require_signature", True)
    refused = r"tiny@1 is not loaded because the project's policy require_signature is on: "
    with pytest.raises(UntrustedModel, match=refused + r"tiny@1 isn't signed.*llmos sign tiny@1"):
        guard.check("tiny@1")
    signing.sign("tiny", key)
    with pytest.raises(UntrustedModel, match=refused + ".*no key that is trusted here"):
        guard.check("tiny@1")
    signing.trusted.add("ada", key)
    guard.check("tiny@1")
    signing.trusted.remove("ada")
    with pytest.raises(UntrustedModel):
        guard.check("tiny@1")


def test_a_file_that_changes_after_verification_is_detected(registry, guard, signing, tiny, key, monkeypatch):
    Policies(registry.database).set("require_signature", True)
    signing.trusted.add("ada", key)
    signing.sign("tiny", key)
    guard.check("tiny@1")
    verify, asked = Signing.verify, []
    monkeypatch.setattr(Signing, "verify", lambda self, ref: asked.append(ref) or verify(self, ref))
    guard.check("tiny@1")
    assert asked == [], "the bytes are read once, as long as nothing changes"
    spoil(registry, tiny, "model.safetensors")
    with pytest.raises(UntrustedModel, match=r"model\.safetensors holds other bytes"):
        guard.check("tiny@1")


def test_without_the_package_the_error_tells_how_to_install_it(registry, guard, signing, tiny, key, monkeypatch):
    signing.trusted.add("ada", key)
    signing.sign("tiny", key)
    Policies(registry.database).set("require_signature", True)
    for name in [name for name in sys.modules if name.partition(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    for refused in (lambda: signing.sign("tiny", key), lambda: signing.verify("tiny"), lambda: guard.check("tiny@1")):
        with pytest.raises(BadRequest, match=r"pip install 'llmos\[signing\]'"):
            refused()
