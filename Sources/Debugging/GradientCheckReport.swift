import Model
import TokenData
import Training

/// What `gradcheck` prints.
struct GradientCheckReport {
    private let findings: [GradientCheck.Finding]
    private let relativeBound: Double
    private let noise: Double

    init(_ findings: [GradientCheck.Finding], _ check: GradientCheck) {
        self.findings = findings
        relativeBound = check.relativeBound
        noise = check.noise
    }

    var wrongNames: [String] { findings.filter(\.isWrong).map(\.name) }
    var isRight: Bool { wrongNames.isEmpty }

    // MARK: Text

    var description: String {
        let width = findings.map(\.name.count).max() ?? 0
        var lines = [
            "tensor".padded(width) + "  checked  kinks    max abs    max rel     worst  verdict"
        ]
        lines += findings.map { finding in
            finding.name.padded(width) + "\(finding.judged)".paddedLeft(9)
                + "\(finding.kinks)".paddedLeft(7)
                + Format.scientific(finding.largestError).paddedLeft(11)
                + Format.scientific(finding.relativeError).paddedLeft(11)
                + "\(finding.worstIndex)".paddedLeft(10) + "  \(verdict(of: finding))"
        }
        let bound =
            "\(Format.scientific(relativeBound)) of a tensor's largest gradient, and "
            + Format.scientific(noise)
        lines.append("\(isRight ? "right" : "WRONG") within \(bound)")
        return lines.joined(separator: "\n")
    }

    private func verdict(of finding: GradientCheck.Finding) -> String {
        guard finding.isWrong else { return "right" }
        return finding.judged == 0 ? "NOT JUDGED" : "WRONG"
    }

    // MARK: JSON

    var json: String {
        JSONText.object([
            ("right", "\(isRight)"), ("relative_bound", JSONText.number(relativeBound)),
            ("absolute_bound", JSONText.number(noise)),
            ("tensors", JSONText.list(findings.map(json))),
        ])
    }

    private func json(_ finding: GradientCheck.Finding) -> String {
        JSONText.object([
            ("tensor", JSONText.quoted(finding.name)), ("checked", "\(finding.judged)"),
            ("kinks", "\(finding.kinks)"), ("max_abs", JSONText.number(finding.largestError)),
            ("max_rel", JSONText.number(finding.relativeError)),
            ("worst_index", "\(finding.worstIndex)"), ("right", "\(!finding.isWrong)"),
        ])
    }
}
