//! What `docs/wire.md` says of limits is what the code does.

use std::fs;
use std::path::Path;

use cfost_runtime::sync::limits;

macro_rules! values {
    ($($name:ident)*) => { [$((stringify!($name), limits::$name.to_string())),*] };
}

#[test]
fn the_document_has_the_limits_of_the_code() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wire.md")).unwrap();
    let values = values! {
        PROTOCOL_VERSION PROTOCOL_VERSION_OLDEST ENTRY_LOGS_VERSION BRANCHES_VERSION NAME_BYTES_MAX FRAME_BYTES_MAX HELLO_BYTES_MAX
        OPS_FRAME_BYTES_TARGET ENTRY_LOGS_MAX ENTRIES_BYTES_MAX
        WINDOW_BYTES_MAX WINDOW_FRAMES_MAX TURN_BYTES_MAX APPLY_BYTES_MAX APPLY_RUNS_MAX INPUT_BYTES_MAX
        OUTBOX_BYTES_MAX HEADS_UNASKED_MAX HEADS_MAX SPACES_MAX LOGS_SKIPPED_MAX IDENTITY_FRAME_BYTES_TARGET
        IDENTITY_IDS_MAX IDENTITY_FRAMES_FUTILE_MAX HEARTBEAT_MS SILENCE_MS_MAX HANDSHAKE_MS_MAX FRAME_MS_MAX
        STALL_MS PINGS_MAX ROUNDS_FUTILE_MAX
    };
    for (name, value) in &values {
        let row = format!("| `{name}` | {value} |");
        assert!(document.contains(&row), "docs/wire.md lacks the row {row}");
    }
    let limits = document.split("## Limits").nth(1).unwrap();
    assert_eq!(limits.lines().filter(|line| line.starts_with("| `")).count(), values.len());
}
