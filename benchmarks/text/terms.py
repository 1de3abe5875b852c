"""What is looked for: the lists that are shipped, and a list of short words with the phrases that excuse them."""

from pathlib import Path

from app.domain import KeywordList
from app.policy.lists import load_lists, parse_list

RULES = Path(__file__).resolve().parents[2] / "rules"

SHORT_WORDS = """---
category: sexual
severity: medium
languages: en, zh
---
口交
[allow] 路口交通
[allow] 路口交叉
[allow] 路口交汇
[allow] 进出口交易
[allow] 出口交货
[allow] 窗口交费
[allow] 渡口交界
共产
[allow] 共产党
[allow] 共产主义
黄片
[allow] 三黄片
[allow] 大黄片
[allow] 鸡蛋黄片
他妈
[allow] 他妈妈
出售枪
加微信
冰毒
[allow] 冰毒蘑菇
迷药
裸聊
约炮
[allow] 大约炮
porn
viagra
cocaine
blowjob
ass
cunt
sex
[allow] sex education
[allow] the same sex
[allow] sex of the
"""


def shipped() -> tuple[KeywordList, ...]:
    lists, problems = load_lists(RULES)
    if problems:
        raise ValueError("\n".join(problem.render() for problem in problems))
    return lists


def short_words() -> KeywordList:
    return parse_list("short_words", SHORT_WORDS.encode())
