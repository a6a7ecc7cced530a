import Checkpointing
import Foundation
import Host
import TokenData

extension Verbs {
    /// Prints what differs between two checkpoints, or where two runs part that have the hashes of their steps.
    ///
    /// - Parameter assertsEqual: whether a difference is a failure.
    /// - Throws: exit code 66 or 65 where one is missing or damaged, 1 where they were to be equal.
    package static func compare(
        _ first: String, _ second: String, assertsEqual: Bool, json: Bool
    ) throws(Failure) {
        if let files = HashLog.file(named: first), let others = HashLog.file(named: second) {
            return try compareHashes(
                (first, second), (files, others), assertsEqual: assertsEqual, json: json)
        }
        let readers = (
            try CheckpointReader(try CheckpointDirectory.file(named: first, warn: Console.remark)),
            try CheckpointReader(try CheckpointDirectory.file(named: second, warn: Console.remark))
        )
        let report = try ComparisonReport(readers.0, readers.1)
        TextOutput.write((json ? report.json : report.description) + "\n", to: 1)
        guard report.isEqual || !assertsEqual else {
            throw Failure(
                .negative,
                "'\(readers.0.path)' and '\(readers.1.path)' are not equal; what differs is "
                    + "listed above"
            )
        }
    }
}

extension Verbs {
    private static func compareHashes(
        _ names: (String, String), _ files: (String, String), assertsEqual: Bool, json: Bool
    ) throws(Failure) {
        let comparison = try HashComparison(names, files)
        TextOutput.write((json ? comparison.json : comparison.description) + "\n", to: 1)
        guard assertsEqual else { return }
        guard comparison.commonSteps > 0 else {
            throw Failure(
                .negative,
                "'\(names.0)' and '\(names.1)' have the hashes of no step in common; train both with the "
                    + "same --hash-interval")
        }
        guard comparison.difference == nil else {
            throw Failure(
                .negative,
                "'\(names.0)' and '\(names.1)' are not equal; where they part is told above")
        }
    }
}

/// What `compare` prints of checkpoints.
struct ComparisonReport {
    private let paths: (String, String)
    private let comparison: CheckpointComparison
    /// Settings whose effective values differ.
    private let settings: [(setting: Setting, first: String, second: String)]

    init(_ first: CheckpointReader, _ second: CheckpointReader) throws(Failure) {
        paths = (first.path, second.path)
        comparison = try CheckpointComparison(first, second)
        let configurations = (
            try Configuration(json: first.checkpoint.configuration, path: first.path),
            try Configuration(json: second.checkpoint.configuration, path: second.path)
        )
        settings = Setting.ofRuns.map {
            ($0, $0.effective(configurations.0), $0.effective(configurations.1))
        }.filter { $0.first != $0.second }
    }

    var isEqual: Bool {
        comparison.isEqual && !settings.contains { $0.setting.decidesNumbers }
    }

    // MARK: Text

    var description: String {
        let remark = { (decides: Bool) in decides ? "" : "  (decides no number)" }
        var lines = ["a  \(paths.0)", "b  \(paths.1)"]
        for (setting, first, second) in settings {
            lines.append(
                "--\(setting.name)  \(named(first)) | \(named(second))"
                    + remark(setting.decidesNumbers))
        }
        for fact in comparison.facts {
            lines.append("\(fact.name)  \(fact.first) | \(fact.second)\(remark(fact.isOfState))")
        }
        lines += comparison.onlyInFirst.map { "\($0)  only in a" }
        lines += comparison.onlyInSecond.map { "\($0)  only in b" }
        lines += comparison.otherShapes.map { "\($0.name)  shape \($0.first) | \($0.second)" }
        for difference in comparison.differences {
            lines.append(
                "\(difference.name)  \(difference.differing) of \(difference.count) elements "
                    + "differ, by at most \(difference.largest), \(difference.largestUlps) ulp; first "
                    + "at \(difference.firstIndex): \(difference.firstValues[0]) | "
                    + "\(difference.firstValues[1])")
        }
        return (lines + [isEqual ? "equal" : "not equal"]).joined(separator: "\n")
    }

    private func named(_ value: String) -> String { value.isEmpty ? "none" : value }

    // MARK: JSON

    var json: String {
        JSONText.object([
            ("a", JSONText.quoted(paths.0)), ("b", JSONText.quoted(paths.1)),
            ("equal", "\(isEqual)"),
            (
                "configuration",
                JSONText.list(
                    settings.map {
                        pair(
                            $0.setting.name.replacing("-", with: "_"), JSONText.quoted($0.first),
                            JSONText.quoted($0.second),
                            ("decides_numbers", "\($0.setting.decidesNumbers)"))
                    })
            ),
            (
                "facts",
                JSONText.list(
                    comparison.facts.map {
                        pair(
                            $0.name, JSONText.quoted($0.first), JSONText.quoted($0.second),
                            ("of_state", "\($0.isOfState)"))
                    })
            ),
            ("only_in_a", JSONText.list(comparison.onlyInFirst.map(JSONText.quoted))),
            ("only_in_b", JSONText.list(comparison.onlyInSecond.map(JSONText.quoted))),
            (
                "other_shapes",
                JSONText.list(
                    comparison.otherShapes.map { pair($0.name, "\($0.first)", "\($0.second)") })
            ),
            ("tensors", JSONText.list(comparison.differences.map(json))),
        ])
    }

    private func pair(
        _ name: String, _ first: String, _ second: String, _ more: (name: String, value: String)...
    ) -> String {
        JSONText.object(
            [("name", JSONText.quoted(name)), ("a", first), ("b", second)] + more)
    }

    private func json(_ difference: CheckpointComparison.Difference) -> String {
        pair(
            difference.name, JSONText.number(difference.firstValues[0]),
            JSONText.number(difference.firstValues[1]), ("elements", "\(difference.count)"),
            ("differing", "\(difference.differing)"),
            ("max_difference", JSONText.number(difference.largest)),
            ("max_ulps", "\(difference.largestUlps)"),
            ("first_index", "\(difference.firstIndex)"))
    }
}
