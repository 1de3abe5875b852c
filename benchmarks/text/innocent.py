"""Ordinary sentences, made from patterns of everyday English and Chinese, with the classic traps among them: words
that hold a listed word, words that sound or look like one, codes and numbers that look like disguises."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

_CORPUS = Path(__file__).resolve().parents[2] / "tests" / "signals" / "corpus"

_EN: dict[str, Sequence[str]] = {
    "who": ["my sister", "our teacher", "the analyst", "the assessor", "Mr. Dickinson", "the therapist", "Ms. Hancock", "her classmate", "the passenger", "Wei Xin", "Li Na", "Gun-woo", "the assassin in the play", "our neighbour Dick", "the bassist", "a pharmacist", "the cashier", "the cocktail waiter", "Prof. Weed", "an Essex family", "the cockatoo", "Shan Xi", "the grass-roots group", "two cyclists", "the grandson"],
    "place": ["Scunthorpe", "Penistone", "Essex", "Sussex", "Middlesex", "Lightwater", "Cockermouth", "Clitheroe", "the museum", "the harbour", "room A55", "the class of 1999", "platform 9", "the passport office", "the weapons hall of the museum", "the drug store on Main Street", "the cannabis research ward", "Massachusetts", "the assembly hall", "Bangkok", "Guangzhou", "Xin Jiang Road", "Shanghai"],
    "thing": ["a passport", "an assessment", "a nail gun", "a glue gun", "the heat gun", "a classic album", "a cassette", "the cassoulet", "a bass guitar", "the compass", "an embassy letter", "the assets", "a brass lamp", "grass seed", "a shuttlecock", "a peacock feather", "a cocktail dress", "an assignment", "weed killer", "a bath bomb", "a photo of the bridge", "the driver's license", "an ID card", "a gift card", "the new slot for visits", "his betting shop novel", "a loan from the library", "a police escort", "saltpetre", "essential oils"],
    "did": ["lost", "found", "photographed", "described", "bought", "returned", "cleaned", "painted", "borrowed", "mentioned", "insured", "measured", "assessed", "dismissed", "repaired", "passed on", "analysed", "sketched", "weighed", "stored"],
    "when": ["this morning", "in 1999", "on Monday at 10:30", "last week", "after class", "before sunrise", "at 7 p.m.", "in the first half", "on day 2", "two days ago", "since the 1980s", "in Q3", "at half-time", "every summer", "by accident"],
    "tail": ["and nobody minded", "as the letter asks", "for $100 in all", "for 1,000 euros", "with 100% of the votes", "in a. m. hours", "(see p. 455)", "which cost 5 0 0 yen", "under order no. 5107 94", "at no cost", "to our great surprise", "with a smile", "soooo well", "hmmmm, maybe", "via www.example.org", "under a blue sky", "in plain sight", "like a pro", "with great success", "according to plan A"],
}

_EN_PATTERNS = (
    "{who} {did} {thing} {when}.",
    "{who} {did} {thing} near {place}, {tail}.",
    "In {place}, {who} {did} {thing} {tail}.",
    "{when}, {who} and {who} {did} {thing}.",
    "Did {who} really see {thing} in {place} {when}?",
    "{thing}, {thing} and {thing}: {tail}.",
    "Please bring {thing} to {place} {when}!",
    "The sex of the panda born in {place} {when} is not known yet.",
    "{who} teaches sex education in {place} {when}.",
    "I can't wait to see {thing}; {who} said so {when}.",
    "N o t e: {thing} is for {who}, {tail}.",
    "C L A S S {when}: {who}, {place}.",
    "{thing}\n{place}\n{when}\n{who}",
    "Tel. 020-5555-0199, {place}, ask for {who} ({when}).",
    "Weed the beds behind {place} {when}, said {who}.",
)

_ZH: dict[str, Sequence[str]] = {
    "who": ["他妈妈", "她爸爸", "张老师", "王医生", "这位老师", "共产党员", "李警官", "我同学", "邻居小陈", "快递员", "客服小姐姐", "外卖员", "志愿者", "工作人员", "教练", "售票员", "一位游客", "奶奶", "班主任", "实习生"],
    "place": ["路口交通岗", "进出口交易会", "学校门口", "博物馆", "图书馆", "岳阳楼凤凰厅", "超市", "火车站", "办证大厅", "公安局门口", "人民公园", "四川省", "威海路", "南山区", "医院药房", "档案馆", "赌城拉斯维加斯的博物馆", "综合性服务中心", "渡口交界处", "体育馆"],
    "thing": ["三黄片", "玩具水枪", "一把喷枪", "新护照", "身份证", "银行卡", "毕业证书", "防晒霜", "大黄片剂", "两张电影票", "一本侦探小说", "水果刀", "麻辣火锅", "气球和彩带", "摄影作品", "一盆假花", "火枪模型", "数学试卷", "钢琴谱", "百家姓字帖", "冰毒蘑菇的科普书", "彩票博物馆门票", "信用卡账单", "一次性餐具", "公益性服务手册", "驾照复印件", "性格测试题", "鞭炮", "一瓶硫酸铜溶液", "炸鸡"],
    "did": ["买到了", "看见了", "寄出了", "整理好", "介绍了", "弄丢了", "找回了", "借走了", "捐出了", "拍下了", "收到了", "称赞了", "检查了", "归还了", "打开了"],
    "when": ["今天上午", "昨天", "去年夏天", "下课以后", "周一九点", "春节期间", "两天前", "刚才", "一九九九年", "开学第一天", "傍晚", "每个周末"],
    "tail": ["大家都很高兴", "威信很高", "请绕行", "谢谢配合", "他加 微信群是为了通知", "一共花了100元", "详情见第455页", "联系电话010-12345678", "网址是www.example.org", "不过天气太冷", "心情特别特别好", "真的真的很好吃", "哈哈哈哈", "注意安全", "严禁赌博", "谨防刷单诈骗", "请勿相信高收益广告", "远离毒品", "禁止携带枪支弹药", "编号A55"],
}

_ZH_PATTERNS = (
    "{when}{who}在{place}{did}{thing}。",
    "{who}{did}{thing}，{tail}。",
    "{place}的{who}说：“{tail}。”",
    "{when}，{who}和{who}一起{did}{thing}，{tail}！",
    "请问{place}怎么走？{tail}。",
    "{thing}、{thing}和{thing}都在{place}。",
    "{who} {did} {thing} {when}",
    "关于{thing}的说明：{tail}；{tail}。",
    "{who}：{thing}\n{place}\n{when}",
    "温馨提示：{tail}，{tail}。",
    "本店提供{thing}，欢迎到{place}选购，{tail}。",
    "{who}说他妈妈{when}{did}{thing}。",
    "中国共产党{when}在{place}召开会议。",
    "女子{when}在{place}{did}{thing}。",
    "日月同辉，{who}{when}在{place}拍照。",
)


def sentences(count: int, *, seed: int = 6) -> list[str]:
    """So many different ones, half of each language, and those that the tests keep."""
    rng = random.Random(seed)  # noqa: S311 - the same sentences every time
    kept = [
        line
        for language in ("en", "zh")
        for line in (_CORPUS / f"innocent_{language}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    found = dict.fromkeys(kept)
    makers = (_made(_EN_PATTERNS, _EN, rng), _made(_ZH_PATTERNS, _ZH, rng))
    while len(found) < count:
        for maker in makers:
            found.setdefault(next(maker))
    return list(found)[:count]


def _made(patterns: Sequence[str], words: dict[str, Sequence[str]], rng: random.Random) -> Iterator[str]:
    while True:
        text = rng.choice(patterns)
        for slot, choices in words.items():
            while f"{{{slot}}}" in text:
                text = text.replace(f"{{{slot}}}", rng.choice(choices), 1)
        yield text[0].upper() + text[1:]
