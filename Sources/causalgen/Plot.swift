import ArgumentParser
import Training

struct Plot: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The loss curves of a run, in the terminal.")

    @Argument(help: "The run's directory.")
    var directory: String

    func run() throws {
        print(try LossCurve(directory: directory).chart())
    }
}
