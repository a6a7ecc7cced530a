import Glibc
import Host

extension Communicator {
    /// What this rank is at, and for whom it waits, in one line.
    var whereabouts: String {
        let wait = watch.awaited.map {
            "; waits for \(process(of: $0.rank)), for \(Int($0.seconds.rounded())) s"
        }
        return "\(process(of: rank)): \(watch.place)\(wait ?? "")"
    }

    /// Lets a rank that holds up all say where its threads are. The lowest other rank of its host asks it, if
    /// it is a process of this program that answers: its number may be another's by now, or that of another
    /// container.
    func askForWhereabouts(of culprit: Int) {
        let asker = hostNames.indices.first { $0 != culprit && hostNames[$0] == hostNames[culprit] }
        guard asker == rank, let own = ProgramFile.identity(of: "self"),
            ProgramFile.identity(of: "\(processes[culprit])") == own,
            Whereabouts.isAnswered(by: processes[culprit])
        else { return }
        kill(processes[culprit], SIGUSR2)
    }
}
