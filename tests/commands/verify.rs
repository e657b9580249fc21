//! `runner verify`: what follows from parameters and inputs comes out the same, what does not is
//! found.

use serde_json::Value;

use crate::program::Lab;

const PIPELINE: &str = "pipeline: test
stages:
  words: {kind: text, params: {text: fixed}}
  honest: {kind: command, params: {command: [cp, \"${inputs.words}\", \"${outputs.out}\"], outputs: {out: out.txt}}, inputs: {words: words}}
  number: {kind: command, params: {command: [sh, -c, \"echo '{\\\"auc\\\": 0.'$(date +%N)'}' > $0\", \"${outputs.out}\"], outputs: {out: out.json}}}
  drawing: {kind: command, params: {command: [sh, -c, \"date +%N > $0\", \"${outputs.out}\"], outputs: {out: out.txt}}, inputs: {words: words}}
";

#[test]
fn what_does_not_follow_from_its_inputs_is_found() {
    let lab = Lab::empty();
    lab.write("pipeline.yaml", PIPELINE);
    lab.write("test.yaml", "experiment: test\npipeline: pipeline.yaml\n");
    lab.run("run test.yaml --quiet").fine();
    let outcome = lab.run("verify test.yaml --json");
    assert_eq!(outcome.code, 3, "{outcome}");
    let value: Value = serde_json::from_str(&outcome.out).expect("JSON");
    let verdict = |stage: &str| {
        let mut stages = value["stages"].as_array().expect("stages").iter();
        let found = stages.find(|one| one["stage"] == stage).expect("verified");
        (found["verdict"].clone(), found["detail"].clone())
    };
    for stage in ["words", "honest"] {
        assert_eq!(verdict(stage).0, "same", "{outcome}");
    }
    let (verdict_of, detail) = verdict("drawing");
    assert_eq!(verdict_of, "differs");
    assert!(detail.to_string().contains("has other bytes"), "{detail}");
    let (verdict_of, detail) = verdict("number");
    assert_eq!(verdict_of, "differs");
    assert!(
        detail.to_string().contains("numbers differ by up to"),
        "{detail}"
    );
    assert_eq!(value["differ"], 2);

    // Nothing in the store has changed by it.
    lab.run("cache verify").fine();
    let outcome = lab.run("verify test.yaml words honest").fine();
    assert!(
        outcome
            .out
            .contains("2 of 2 stages made once more: 2 same bytes"),
        "{outcome}"
    );
    let outcome = lab.run("verify test.yaml hones");
    assert!(outcome.err.contains("did you mean `honest`?"), "{outcome}");
    lab.edit("pipeline.yaml", "text: fixed", "text: changed");
    let outcome = lab.run("verify test.yaml words");
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome
            .err
            .contains("cannot say: it was not made with what the experiment says now"),
        "{outcome}"
    );
}
