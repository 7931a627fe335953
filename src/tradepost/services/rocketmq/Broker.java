import java.nio.file.Path;
import org.apache.rocketmq.namesrv.NamesrvStartup;
import org.apache.rocketmq.proxy.ProxyStartup;

/** Broker FOLDER NAMESERVER: name server, broker and gRPC proxy in one JVM, which saves 150 MB and two seconds. */
public class Broker {
    public static void main(String[] words) throws Exception {
        Path conf = Path.of(words[0], "conf");
        NamesrvStartup.main0(new String[] {"-c", conf.resolve("nameserver.conf").toString()});
        ProxyStartup.main(new String[] {
            "-pm", "local", "-n", words[1],
            "-pc", conf.resolve("proxy.json").toString(),
            "-bc", conf.resolve("broker.conf").toString()});
    }
}
