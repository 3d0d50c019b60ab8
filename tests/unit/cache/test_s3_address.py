from __future__ import annotations

import pytest

from pipeline.cache.s3_address import S3Address, address_from_url
from pipeline.errors import SettingsError


def test_a_bucket_alone_leaves_the_rest_to_boto3() -> None:
    assert address_from_url("s3://engines") == S3Address(bucket="engines")


def test_every_option_is_read() -> None:
    url = (
        "s3://engines/team/a/?endpoint=https://s3.example:9000&region=eu-west-1&addressing=path"
        "&owner=123456789012&sse=kms&kms-key=arn:aws:kms:eu-west-1:123456789012:key/1&lease=30"
    )

    assert address_from_url(url) == S3Address(
        bucket="engines",
        prefix="team/a",
        endpoint_url="https://s3.example:9000",
        region="eu-west-1",
        addressing="path",
        owner="123456789012",
        encryption="aws:kms",
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/1",
        lease_s=30.0,
    )


def test_the_text_names_bucket_and_prefix() -> None:
    assert str(S3Address(bucket="engines", prefix="team/a")) == "s3://engines/team/a"
    assert str(S3Address(bucket="engines")) == "s3://engines"


def test_the_names_of_all_objects_begin_with_prefix_layout_and_scope() -> None:
    assert S3Address(bucket="engines", prefix="team/a").root("pr/1/2") == "team/a/v1/pr/1/2/"
    assert S3Address(bucket="engines").root("trusted") == "v1/trusted/"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "no name of a bucket"),
        ("s3://Engines", "no name of a bucket"),
        ("s3://a/b", "no name of a bucket"),
        ("https://engines/a", "not of the form"),
        ("s3://engines/a//b", "unsafe characters"),
        ("s3://engines/../b", "unsafe characters"),
        ("s3://engines/a b", "unsafe characters"),
        ("s3://engines/a%0Ab", "unsafe characters"),
        ("s3://engines#x", "not of the form"),
        ("s3://engines?endpoint=host:9000", "is no URL"),
        ("s3://engines?addressing=both", "addressing=both is not known"),
        ("s3://engines?owner=1234", "no account id"),
        ("s3://engines?owner=١٢٣٤٥٦٧٨٩٠١٢", "no account id"),
        ("s3://engines?sse=aes", "sse=aes is not known"),
        ("s3://engines?lease=-1", "no number of seconds"),
        ("s3://engines?lease=2m", "no number of seconds"),
        ("s3://engines?kms-key=x", "without sse=kms"),
        ("s3://engines?sse=s3&kms-key=x", "without sse=kms"),
        ("s3://engines?reg=x", "did you mean 'region'"),
        ("s3://engines?region=a&region=b", "given twice"),
        ("s3://engines?region=", "empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        address_from_url(url)


def test_a_secret_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as error:
        address_from_url("s3://AKIAKEY:hidden@engines/a")

    assert "hidden" not in str(error.value)
