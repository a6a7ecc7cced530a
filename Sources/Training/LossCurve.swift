import Host

/// The loss curves of a run, drawn with characters for a terminal.
package struct LossCurve {
    private let training: [Point]
    private let validation: [Point]

    private struct Point {
        let step: Double
        let loss: Double
    }

    /// Far beyond every step and loss, and small enough to reckon with.
    private static let largest = 1e100

    /// - Parameter directory: of a run.
    /// - Throws: exit code 66 where there is no metrics.jsonl, 65 where it holds no loss.
    package init(directory: String) throws(Failure) {
        let path = "\(directory)/metrics.jsonl"
        let text: String
        do throws(Failure) {
            text = try MappedFile.text(path, limit: StepLog.mostBytes)
        } catch {
            throw Failure(
                error.exitCode,
                "\(error.message); give a run's directory, such as Checkpoints/<run-name>")
        }
        let lines = text.split(separator: "\n")
        func points(_ name: String) -> [Point] {
            lines.compactMap { line in
                guard let step = StepLog.value("step", in: line),
                    let loss = StepLog.value(name, in: line),
                    (0...Self.largest).contains(step), abs(loss) <= Self.largest
                else { return nil }
                return Point(step: step, loss: loss)
            }
        }
        training = points("train/loss")
        validation = points("val/loss")
        guard !training.isEmpty else {
            throw Failure(.damaged, "'\(path)' holds no train/loss yet")
        }
    }

    /// The chart: `.` is the training loss (the mean of the points of a column), `o` the validation loss.
    ///
    /// - Parameters:
    ///   - width, height: of the plotted area, in characters.
    package func chart(width: Int = 64, height: Int = 16) -> String {
        let all = training + validation
        let lastStep = max(1, all.map(\.step).max()!)
        let lowest = all.map(\.loss).min()!
        let highest = max(all.map(\.loss).max()!, lowest + max(1e-9, abs(lowest) * 1e-9))
        func column(_ point: Point) -> Int {
            min(width - 1, Int(point.step / lastStep * Double(width - 1)))
        }
        func row(_ loss: Double) -> Int {
            Int(((highest - loss) / (highest - lowest) * Double(height - 1)).rounded())
        }
        var canvas = [[Character]](
            repeating: [Character](repeating: " ", count: width), count: height)
        for (column, points) in Dictionary(grouping: training, by: column) {
            let mean = points.reduce(0) { $0 + $1.loss } / Double(points.count)
            canvas[row(mean)][column] = "."
        }
        for point in validation { canvas[row(point.loss)][column(point)] = "o" }

        var lines = ["loss in nats per token: . training, o validation"]
        for (index, characters) in canvas.enumerated() {
            let loss = highest - (highest - lowest) * Double(index) / Double(height - 1)
            let label = index % 5 == 0 || index == height - 1 ? Format.fixed(loss, 3) : ""
            lines.append("\(label.paddedLeft(7)) |\(String(characters))")
        }
        lines.append(String(repeating: " ", count: 8) + "+" + String(repeating: "-", count: width))
        let last = Format.fixed(lastStep, 0)
        lines.append(String(repeating: " ", count: 9) + "0" + last.paddedLeft(width - 1) + "  step")
        return lines.joined(separator: "\n")
    }
}
