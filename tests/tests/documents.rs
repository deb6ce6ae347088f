//! What the documents say of constants is what the code says.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use cfost_runtime::oplog::{self, limits};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

#[test]
fn the_oplogs_document_has_the_limits_of_the_code() {
    let document = document("oplog-format.md");
    let limits: &[(&str, u64)] = &[
        ("CHANGE_BYTES_MAX", limits::CHANGE_BYTES_MAX as u64),
        ("CHANGE_OPS_MAX", u64::from(limits::CHANGE_OPS_MAX)),
        ("SEGMENTS_MAX", limits::SEGMENTS_MAX as u64),
        ("DEPS_MAX", limits::DEPS_MAX as u64),
        ("COLUMNS_MAX", limits::COLUMNS_MAX as u64),
        ("ELEMENTS_MAX", limits::ELEMENTS_MAX as u64),
        ("ELEMENT_KEY_BYTES_MAX", limits::ELEMENT_KEY_BYTES_MAX as u64),
        ("ELEMENT_POSITION_BYTES_MAX", limits::ELEMENT_POSITION_BYTES_MAX as u64),
        ("PAYLOAD_BYTES_MAX", limits::PAYLOAD_BYTES_MAX as u64),
        ("DECOMPRESSION_RATIO_MAX", limits::DECOMPRESSION_RATIO_MAX as u64),
        ("COMPRESS_BYTES_MIN", limits::COMPRESS_BYTES_MIN as u64),
        ("RUN_BYTES_MAX", limits::RUN_BYTES_MAX as u64),
        ("RUN_CHANGES_MAX", limits::RUN_CHANGES_MAX as u64),
        ("SIGNATURE_CHANGES_MAX", limits::SIGNATURE_CHANGES_MAX),
        ("SIGNATURE_BYTES_MAX", limits::SIGNATURE_BYTES_MAX as u64),
    ];
    for (name, value) in limits {
        let row = format!("| `{name}` | {value} |");
        assert!(document.contains(&row), "docs/oplog-format.md lacks the row {row}");
    }
    let rows = document.lines().filter(|line| line.contains("_MAX` | ") || line.contains("_MIN` | "));
    assert_eq!(rows.count(), limits.len(), "docs/oplog-format.md has limits that the code doesn't have");
}

#[test]
fn the_oplogs_document_has_the_constants_of_the_code() {
    let document = document("oplog-format.md");
    let constants: &[(&str, &dyn Display)] = &[
        ("HEADER_VERSION", &oplog::HEADER_VERSION),
        ("HEADER_SUITE", &oplog::HEADER_SUITE),
        ("HEADER_KIND_OPS", &oplog::HEADER_KIND_OPS),
        ("HEADER_DEP_BYTES", &oplog::HEADER_DEP_BYTES),
        ("HEADER_SEGMENT_BYTES", &oplog::HEADER_SEGMENT_BYTES),
        ("SEALED_BYTES_MIN", &oplog::SEALED_BYTES_MIN),
        ("TAG_BYTES", &oplog::TAG_BYTES),
        ("COMPRESSION_NONE", &oplog::COMPRESSION_NONE),
        ("COMPRESSION_LZ4", &oplog::COMPRESSION_LZ4),
        ("SEGMENT_FORMAT", &oplog::SEGMENT_FORMAT),
        ("RUN_VERSION", &oplog::RUN_VERSION),
        ("CHANGE_ID_CONTEXT", &format!("`{}`", oplog::CHANGE_ID_CONTEXT)),
        ("KEY_COMMITMENT_CONTEXT", &format!("`{}`", oplog::KEY_COMMITMENT_CONTEXT)),
        ("SIGNATURE_DOMAIN", &"`cfost change v1` and a zero byte"),
    ];
    // A sentence may go on in the next line.
    let text = document.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, value) in constants {
        let said = format!("`{name}` = {value}");
        assert!(text.contains(&said), "docs/oplog-format.md doesn't say: {said}");
    }
    assert_eq!(&oplog::SIGNATURE_DOMAIN, b"cfost change v1\0");
}
